"""The normalizer and the pre-tokenizer of a tokenizer.json as the lists of steps that csrc/bpe.h takes.

A step is a dict with a "kind" (csrc/bpe_normalize.h, csrc/bpe_cut.h). What our path has no step for is said in plain
words, and the file goes through the `tokenizers` library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .patterns import SCANNERS

Step = dict[str, Any]
UNICODE_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
# Characters that mean something in a regular expression: without them it is a text.
REGEX_CHARACTERS = frozenset(".^$*+?()[]{}|\\")


class BpeFileError(ValueError):
    """The file is not a tokenizer.json with a byte-pair model, or is damaged. The message says where."""


class Uncovered(Exception):
    """A part of the file that only the `tokenizers` library knows how to do; the message names it."""


def normalizer_steps(normalizer: object) -> list[Step]:
    """The steps of a file's "normalizer". Uncovered, or BpeFileError on what is no normalizer."""
    return [step for part in _flat(normalizer, "normalizer", "normalizers") for step in _normalizer_step(part)]


def cut_steps(pre_tokenizer: object) -> tuple[list[Step], bool]:
    """The steps of a file's "pre_tokenizer", and whether words are spelt in bytes. Uncovered, or BpeFileError."""
    steps: list[Step] = []
    in_bytes = False
    for part in _flat(pre_tokenizer, "pre_tokenizer", "pretokenizers"):
        make = _CUTTERS.get(part["type"])
        if make is None:
            raise Uncovered(f"pre_tokenizer {part['type']}")
        steps += make(part, steps, in_bytes)
        in_bytes |= part["type"] == "ByteLevel"
    return steps, in_bytes


def regexes(steps: list[Step]) -> list[str]:
    """The patterns among the steps that have no scanner: whether our matcher can run them is for it to say."""
    return [step["text"] for step in steps if step["kind"] == "regex"]


def names(steps: list[Step]) -> str:
    """The steps in a word each, for people."""
    return " + ".join(str(step.get("name", step["kind"])) for step in steps) or "whole text"


def part_of(data: dict, name: str) -> dict | None:
    """A section of the file: an object or null. BpeFileError otherwise."""
    part = data.get(name)
    if part is not None and not isinstance(part, dict):
        raise BpeFileError(f'"{name}" is {short(part)}; expected an object or null')
    return part


def short(value: object) -> str:
    """A value of the file, cut to what fits an error."""
    text = repr(value) if not isinstance(value, (dict, list)) else f"a {type(value).__name__} of {len(value)}"
    return text if len(text) <= 80 else text[:77] + "…"


def _flat(part: object, name: str, inner: str) -> Iterator[dict]:
    """The parts of a section, those of nested Sequences in their order."""
    waiting = [] if part is None else [part]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise BpeFileError(f"the {name} holds {short(part)}; expected an object with a type")
        if part["type"] != "Sequence":
            yield part
            continue
        parts = part.get(inner)
        if not isinstance(parts, list):
            raise BpeFileError(f'the {name} Sequence has {short(parts)} for "{inner}"; expected a list')
        waiting += reversed(parts)


def _field(part: dict, name: str, kind: type | tuple[type, ...], *default: Any) -> Any:
    value = part.get(name, *default)
    if not isinstance(value, kind):
        expected = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise BpeFileError(f'{part["type"]} has {short(value)} for "{name}"; expected {expected}')
    return value


def _pattern(part: dict) -> tuple[str, str]:
    """("String" or "Regex", its text)."""
    pattern = part.get("pattern")
    if isinstance(pattern, dict) and len(pattern) == 1:
        ((kind, text),) = pattern.items()
        if kind in ("String", "Regex") and isinstance(text, str):
            return kind, text
    raise BpeFileError(f'{part["type"]} has {short(pattern)} for "pattern"; expected {{"String": …}} or {{"Regex": …}}')


def _normalizer_step(part: dict) -> list[Step]:
    kind = part["type"]
    if kind in UNICODE_FORMS or kind in ("Lowercase", "StripAccents"):
        return [{"kind": kind}]
    if kind == "Strip":
        return [{"kind": kind, "left": _field(part, "strip_left", bool), "right": _field(part, "strip_right", bool)}]
    if kind == "Prepend":
        text = _field(part, "prepend", str)
        return [{"kind": kind, "to": text}] if text else []
    if kind == "Replace":
        pattern, text = _pattern(part)
        content = _field(part, "content", str)
        if not text or (pattern == "Regex" and (REGEX_CHARACTERS & set(text) or "$" in content)):
            raise Uncovered(f"normalizer Replace of {pattern} {text!r}")
        return [{"kind": kind, "from": text, "to": content}]
    raise Uncovered(f"normalizer {kind}")


def _byte_level(part: dict, steps: list[Step], in_bytes: bool) -> list[Step]:
    if in_bytes:
        raise Uncovered("pre_tokenizer ByteLevel twice")
    found: list[Step] = []
    if _field(part, "add_prefix_space", bool, True):
        found.append({"kind": "prefix", "text": " "})
    if _field(part, "use_regex", bool, True):
        found.append({"kind": "pattern", "name": "gpt2"})
    return found


def _split(part: dict, steps: list[Step], in_bytes: bool) -> list[Step]:
    kind, text = _pattern(part)
    behavior, invert = _field(part, "behavior", str), _field(part, "invert", bool, False)
    if behavior not in BEHAVIORS:
        raise BpeFileError(f"Split has the behavior {behavior!r}; expected {', '.join(BEHAVIORS)}")
    if not text:
        raise Uncovered("pre_tokenizer Split by an empty pattern")
    kept = {"behavior": behavior, "invert": invert}
    if kind == "String":
        _needs_text(in_bytes, "Split")
        return [{"kind": "literal", "text": text, **kept}]
    name = SCANNERS.get(text)
    # A pattern that matches every character leaves nothing between its matches to isolate or remove.
    whole = behavior == "Isolated" or (behavior == "Removed" and invert and name != "bloom")
    if name and whole and not in_bytes:
        return [{"kind": "pattern", "name": name}]
    return [{"kind": "regex", "text": text, "bytes": in_bytes, **kept}]


def _digits(part: dict, steps: list[Step], in_bytes: bool) -> list[Step]:
    behavior = "Isolated" if _field(part, "individual_digits", bool, False) else "Contiguous"
    return [{"kind": "digits", "behavior": behavior, "bytes": in_bytes}]


def _punctuation(part: dict, steps: list[Step], in_bytes: bool) -> list[Step]:
    behavior = _field(part, "behavior", str, "Isolated")
    if behavior not in BEHAVIORS:
        raise BpeFileError(f"Punctuation has the behavior {behavior!r}; expected {', '.join(BEHAVIORS)}")
    return [{"kind": "punctuation", "behavior": behavior, "bytes": in_bytes}]


def _whitespace(part: dict, steps: list[Step], in_bytes: bool) -> list[Step]:
    _needs_text(in_bytes, part["type"])
    return [{"kind": "words"} if part["type"] == "Whitespace" else {"kind": "space", "behavior": "Removed"}]


def _delimiter(part: dict, steps: list[Step], in_bytes: bool) -> list[Step]:
    _needs_text(in_bytes, part["type"])
    return [{"kind": "literal", "text": _character(part, "delimiter"), "behavior": "Removed"}]


def _metaspace(part: dict, steps: list[Step], in_bytes: bool) -> list[Step]:
    _needs_text(in_bytes, part["type"])
    prefix = _field(part, "add_prefix_space", (bool, type(None)), None)  # the older spelling of prepend_scheme
    scheme = _field(part, "prepend_scheme", str, "never" if prefix is False else "always")
    if scheme not in ("always", "first", "never"):
        raise BpeFileError(f"Metaspace has the prepend_scheme {scheme!r}; expected always, first or never")
    if prefix is False and scheme != "never":
        raise Uncovered("pre_tokenizer Metaspace with two settings that disagree")
    if scheme == "first" and steps:
        raise Uncovered("pre_tokenizer Metaspace for the first word only, after other steps")
    split = _field(part, "split", bool, True)
    return [{"kind": "metaspace", "text": _character(part, "replacement"), "prepend": scheme, "split": split}]


def _needs_text(in_bytes: bool, name: str) -> None:
    if in_bytes:
        raise Uncovered(f"pre_tokenizer {name} after ByteLevel")


def _character(part: dict, name: str) -> str:
    text = _field(part, name, str)
    if len(text) != 1:
        raise BpeFileError(f'{part["type"]} has {short(text)} for "{name}"; expected one character')
    return text


_CUTTERS: dict[str, Callable[[dict, list[Step], bool], list[Step]]] = {
    "ByteLevel": _byte_level,
    "Split": _split,
    "Digits": _digits,
    "Punctuation": _punctuation,
    "Whitespace": _whitespace,
    "WhitespaceSplit": _whitespace,
    "CharDelimiterSplit": _delimiter,
    "Metaspace": _metaspace,
}
