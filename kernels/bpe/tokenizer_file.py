"""Reads a Hugging Face tokenizer.json into what an encoder needs, and says what our own path lacks."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from .patterns import byte_alphabet
from .steps import BpeFileError, Step, Uncovered, cut_steps, names, normalizer_steps, part_of, regexes, short
from .template import Template, template_of
from .vocabulary import AddedToken, added_tokens, merge_rows, vocabulary

__all__ = ["AddedToken", "BpeFile", "BpeFileError", "Template", "parse", "read"]

# The largest file in use has 35 MB; JSON takes ten times its size in memory.
MOST_BYTES = 256 << 20
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


@dataclass(frozen=True)
class BpeFile:
    """One parsed tokenizer.json. `why_not` is empty when the other fields describe it completely."""

    vocab: dict[str, int]
    added: list[AddedToken]
    merges: np.ndarray  # (n, 3) uint32: left id, right id, id of the two joined; the row is the rank
    base: np.ndarray  # (256,) uint32: the id of each single byte; empty if there is none for every byte
    ignore_merges: bool
    byte_level_decoder: bool
    why_not: str
    normalizer: list[Step]
    cuts: list[Step]
    in_bytes: bool  # words are spelt in the byte alphabet; else by character
    unknown: int | None  # the id of characters without one, where there are no bytes either
    fuse_unknown: bool
    template: Template | None  # the ids around one text; None if they are not a prefix and a suffix
    sections: dict[str, Any]  # "normalizer" and "pre_tokenizer" as they stand in the file
    ranked_by_joined: bool = False  # a merge has the rank of its joined id, not of its row (tiktoken)

    @property
    def scanner(self) -> str:
        """The name of the pattern, or of the steps that stand for one."""
        return names(self.cuts)

    @property
    def patterns(self) -> list[str]:
        """The patterns without a scanner of their own: jarvis_nano._bpe.refusal says whether it can run one."""
        return regexes(self.cuts)

    @property
    def n_ids(self) -> int:
        """One more than the largest id: the width of a table indexed by id."""
        return 1 + max([*self.vocab.values(), *(token.id for token in self.added)])

    def texts(self) -> list[str | None]:
        """The vocabulary's own spelling of each id, None where an id is unused."""
        by_id: list[str | None] = [None] * self.n_ids
        for text, index in self.vocab.items():
            by_id[index] = text
        for token in self.added:
            by_id[token.id] = token.content
        return by_id

    def words(self) -> dict[bytes, int]:
        """The id of each byte string that is a token: under the byte alphabet, or as it is spelt."""
        return self._byte_words() if self.in_bytes else {text.encode(): index for text, index in self.vocab.items()}

    def _byte_words(self) -> dict[bytes, int]:
        to_byte = {ord(character): byte for byte, character in enumerate(byte_alphabet())}
        spelt = {
            text.translate(to_byte): index
            for text, index in self.vocab.items()
            if to_byte.keys() >= set(map(ord, text))
        }
        return {text.encode("latin-1"): index for text, index in spelt.items()}

    def token_bytes(self) -> list[bytes]:
        """The bytes that each id stands for under a byte-level decoder; added tokens stand for their own text."""
        by_id = [b""] * self.n_ids
        for text, index in self.vocab.items():
            by_id[index] = text.encode()
        for word, index in self._byte_words().items() if self.in_bytes or self.byte_level_decoder else ():
            by_id[index] = word
        for token in self.added:
            by_id[token.id] = token.content.encode()
        return by_id

    def characters(self) -> dict[int, int]:
        """The id of each character that is a token."""
        return {ord(text): index for text, index in self.vocab.items() if len(text) == 1}

    def sought(self) -> list[tuple[str, AddedToken]]:
        """The added tokens with the text to look for, special ones in front: what is normalized is sought so."""
        normalize = library_part(self.sections, "normalizer").normalize_str if self.normalizer else str
        tokens = sorted(self.added, key=lambda token: not token.special)
        return [(normalize(token.content) if token.normalized else token.content, token) for token in tokens]

    def native_model(self) -> dict[str, Any]:
        """What jarvis_nano._bpe.Encoder takes. Only where `why_not` is empty."""
        return {
            "tokens": self.token_bytes(),
            "base": self.base,
            "merges": self.merges,
            "ranks": self.merges[:, 2] if self.ranked_by_joined else np.array([], dtype=np.uint32),
            "words": self.words() if self.ignore_merges else {},
            "added": [(content.encode(), *token[1:]) for content, token in self.sought()],
            "normalizer": self.normalizer,
            "cuts": self.cuts,
            "characters": None if self.in_bytes else self.characters(),
            "unknown": self.unknown,
            "fuse_unknown": self.fuse_unknown,
        }


def read(source: str | os.PathLike[str] | bytes) -> bytes:
    """The bytes of a tokenizer.json by its path, or as they are. BpeFileError if they are too many."""
    if isinstance(source, bytes):
        return source
    path = Path(source)
    _check_size(path.stat().st_size)
    return path.read_bytes()


def parse(raw: bytes) -> BpeFile:
    """BpeFile of the bytes of a tokenizer.json; BpeFileError if they are damaged or hold another kind of model."""
    data = _json(raw)
    model = data.get("model") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(model, dict):
        raise BpeFileError('no "model" section; expected a Hugging Face tokenizer.json')
    if data.get("version", "1.0") != "1.0":
        raise BpeFileError(f'version {short(data["version"])}; expected "1.0"')
    if model.get("type", "BPE") != "BPE":
        raise BpeFileError(f"a {short(model['type'])} model; expected byte-pair encoding (BPE)".replace("'", ""))
    decoder = part_of(data, "decoder")
    sections = {name: part_of(data, name) for name in ("normalizer", "pre_tokenizer")}
    vocab = vocabulary(model.get("vocab"))
    added = added_tokens(data.get("added_tokens") or [], vocab)
    prefix = _text(model, "continuing_subword_prefix")
    merges = merge_rows(model.get("merges"), vocab, prefix or "")
    template = template_of(data.get("post_processor"))
    normalizer, cuts, in_bytes, why_not = _steps(sections)
    base, unknown, no_unit = _units(model, vocab, in_bytes)
    if template is None:  # the library may drop the text itself, or put it there twice
        why_not = (
            why_not or f"post_processor {short(data['post_processor'].get('type'))} without one place for the text"
        )
    why_not = why_not or no_unit or _uncovered(model, added, normalizer, cuts)
    file = BpeFile(
        vocab=vocab,
        added=added,
        merges=merges,
        base=base,
        ignore_merges=_switch(model, "ignore_merges"),
        byte_level_decoder=decoder is not None and decoder.get("type") == "ByteLevel",
        why_not=why_not,
        normalizer=normalizer,
        cuts=cuts,
        in_bytes=in_bytes,
        unknown=unknown,
        fuse_unknown=_switch(model, "fuse_unk"),
        template=template,
        sections=sections,
    )
    if not why_not:
        _add_joints(file)
    return file


def library_part(sections: dict[str, Any], name: str) -> Any:
    """The `tokenizers` object of the file's normalizer or pre_tokenizer. BpeFileError if the library refuses it."""
    whole = {"model": {"type": "BPE", "vocab": {}, "merges": []}, name: sections[name]}
    try:
        return getattr(tokenizers.Tokenizer.from_str(json.dumps(whole)), name)
    except ValueError as error:
        raise BpeFileError(f"the tokenizers library refuses the {name}: {error}") from error


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise BpeFileError(f"{size >> 20} MiB; expected a tokenizer.json of at most {MOST_BYTES >> 20} MiB")


def _json(raw: bytes) -> Any:
    _check_size(len(raw))
    try:
        text = raw.decode("utf-8")
        # A lone surrogate can only come as \ud8xx; the rest of the file is UTF-8 already.
        data = json.loads(text, object_pairs_hook=_object)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(data, ensure_ascii=False).encode()
    except BpeFileError:
        raise
    except UnicodeEncodeError as error:
        raise BpeFileError(f"a text that is not Unicode ({error.reason}); the file is damaged") from error
    except (ValueError, RecursionError) as error:  # json and Unicode errors, and integers of thousands of digits
        raise BpeFileError(f"not valid JSON ({error}); the file is damaged or half-written") from error
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BpeFileError(f"{short(repeated)} stands twice in one object; the file is damaged")
    return found


def _switch(model: dict, name: str) -> bool:
    value = model.get(name)
    if value not in (None, True, False) or isinstance(value, (int, float)) != isinstance(value, bool):
        raise BpeFileError(f'the model has {short(value)} for "{name}"; expected true or false')
    return bool(value)


def _text(model: dict, name: str) -> str | None:
    value = model.get(name)
    if value is not None and not isinstance(value, str):
        raise BpeFileError(f'the model has {short(value)} for "{name}"; expected a text or null')
    return value


def _steps(sections: dict[str, Any]) -> tuple[list[Step], list[Step], bool, str]:
    """(normalizer, cuts, whether words are spelt in bytes, why our path cannot take them)."""
    try:
        normalizer = normalizer_steps(sections["normalizer"])
        cuts, in_bytes = cut_steps(sections["pre_tokenizer"])
    except Uncovered as error:
        return [], [], '"ByteLevel"' in json.dumps(sections["pre_tokenizer"]), str(error)
    return normalizer, cuts, in_bytes, ""


def _units(model: dict, vocab: dict[str, int], in_bytes: bool) -> tuple[np.ndarray, int | None, str]:
    """(the id of each byte, the id for unknown characters, why words cannot be made of these)."""
    spelling = byte_alphabet() if in_bytes else BYTE_TOKENS
    unknown = _text(model, "unk_token")
    fallback = _switch(model, "byte_fallback")
    ids = [vocab[text] for text in spelling if text in vocab]
    why_not = ""
    if (in_bytes or fallback) and len(ids) < 256:
        why_not = f"{256 - len(ids)} of the 256 bytes have no id"
    elif not in_bytes and not fallback:
        ids = []
        if unknown is not None and unknown not in vocab:
            why_not = f"unk_token {unknown!r} is not in the vocabulary"
    base = np.array([] if why_not else ids, dtype=np.uint32)
    return base, None if unknown is None else vocab.get(unknown), why_not


def _uncovered(model: dict, added: list[AddedToken], normalizer: list[Step], cuts: list[Step]) -> str:
    """What of this file only the `tokenizers` library knows how to do; empty when there is nothing."""
    dropout = model.get("dropout")
    if dropout is not None and (isinstance(dropout, bool) or not isinstance(dropout, (int, float))):
        raise BpeFileError(f"the model has {short(dropout)} for dropout; expected a number or null")
    if dropout:
        return f"merge dropout {dropout}"
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        if _text(model, affix):
            return f"{affix} {model[affix]!r}"
    for name in ("content", "id"):
        values = [getattr(token, name) for token in added]
        if len(set(values)) != len(values):
            return f"two added tokens with the same {name}"
    if any(step.get("prepend") == "first" for step in cuts):
        removes = any(step["kind"] in ("Strip", "StripAccents") or step.get("to") == "" for step in normalizer)
        if removes or (normalizer and any(token.normalized for token in added)):
            return "pre_tokenizer Metaspace for the first word, after a normalizer that may move where it begins"
    return ""


def _add_joints(file: BpeFile) -> None:
    """Cuts the text where no merge can cross, if the file's own steps leave it whole: before a space, or its stand-in.

    Where no token holds a space after anything else, words are what lies between: the same ids, from a cache.
    """
    kinds = [step["kind"] for step in file.cuts]
    whole = all(
        kind in ("literal", "prefix") or (kind, file.cuts[0].get("split")) == ("metaspace", False) for kind in kinds
    )
    mark = " " if file.in_bytes else "▁"
    spelt = "Ġ" if file.in_bytes else mark
    if not whole or spelt not in file.vocab:
        return
    across = re.compile(f"[^{spelt}]{spelt}")
    joined = set(file.merges[:, 2].tolist())
    for text, index in file.vocab.items():
        if spelt in text[1:] and across.search(text) and (file.ignore_merges or index in joined):
            return
    place = 0 if all(kind == "literal" for kind in kinds) else len(kinds)
    file.cuts.insert(place, {"kind": "before", "text": mark})
