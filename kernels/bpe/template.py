"""The post-processor of a tokenizer.json: which ids stand before and after those of one text."""

from __future__ import annotations

from typing import NamedTuple

from .steps import BpeFileError, short


class Template(NamedTuple):
    """The ids that `tokenizers` puts around one text when asked to add special tokens."""

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()


def template_of(processor: object) -> Template | None:
    """The template of a file's "post_processor"; None if it is of a kind that is not a prefix and a suffix.

    BpeFileError if it is damaged.
    """
    if processor is None:
        return Template()
    if not isinstance(processor, dict) or not isinstance(processor.get("type"), str):
        raise BpeFileError(f"the post_processor is {short(processor)}; expected an object with a type")
    kind = processor["type"]
    if kind == "ByteLevel":
        return Template()
    if kind in ("RobertaProcessing", "BertProcessing"):
        return Template((_pair_id(processor, "cls"),), (_pair_id(processor, "sep"),))
    if kind == "TemplateProcessing":
        return _template(processor)
    if kind == "Sequence":
        return _sequence(processor)
    return None


def _sequence(processor: dict) -> Template | None:
    parts = processor.get("processors")
    if not isinstance(parts, list):
        raise BpeFileError(f'the post_processor has {short(parts)} for "processors"; expected a list')
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "Sequence":
            return None
        inner = template_of(part)
        if inner is None:
            return None
        prefix, suffix = inner.prefix + prefix, suffix + inner.suffix
    return Template(prefix, suffix)


def _template(processor: dict) -> Template | None:
    """Of "single": special tokens around the sequence A, each by name; "special_tokens": the ids of each name."""
    pieces, named = processor.get("single"), processor.get("special_tokens")
    if not isinstance(pieces, list) or not isinstance(named, dict):
        raise BpeFileError("the post_processor lacks its template or its special tokens")
    sides: list[list[int]] = [[]]
    for piece in pieces:
        if not isinstance(piece, dict) or len(piece) != 1:
            raise BpeFileError(f"the post_processor's template holds {short(piece)}; expected one token or sequence")
        ((kind, body),) = piece.items()
        name = body.get("id") if isinstance(body, dict) else None
        if kind == "Sequence" and name in ("A", "B"):
            if name == "B":
                return None
            sides.append([])
        elif kind == "SpecialToken" and isinstance(name, str):
            sides[-1] += _ids_of(named, name)
        else:
            raise BpeFileError(f"the post_processor's template holds {short(piece)}; expected a token or a sequence")
    return Template(tuple(sides[0]), tuple(sides[1])) if len(sides) == 2 else None


def _ids_of(named: dict, name: str) -> list[int]:
    entry = named.get(name)
    ids = entry.get("ids") if isinstance(entry, dict) else None
    if not isinstance(ids, list) or any(type(index) is not int or index < 0 for index in ids):
        raise BpeFileError(f"the post_processor's special token {name!r} has {short(ids)} for ids")
    return ids


def _pair_id(processor: dict, name: str) -> int:
    pair = processor.get(name)
    if not isinstance(pair, list) or len(pair) != 2 or type(pair[1]) is not int or pair[1] < 0:
        raise BpeFileError(f'the post_processor has {short(pair)} for "{name}"; expected a token and its id')
    return pair[1]
