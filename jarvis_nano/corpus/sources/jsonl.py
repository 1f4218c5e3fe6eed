"""One JSON object a line with its text under "text"; "id" and "source" are kept where they are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources.source import Source
from jarvis_nano.corpus.sources.text import not_utf8, refuse_other_encodings
from jarvis_nano.errors import UserError

_DECODER = json.JSONDecoder()
MAX_LINE = 64 << 20  # bytes: no document is that long, and a file without line ends must not fill the memory
_PIECE = 1 << 16  # bytes of an over-long line thrown away at a time


def read_jsonl(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The documents of the file after the mark; blank lines and empty texts are passed over.

    Damage, with the line: it is not UTF-8, not JSON, no object with a string under `text_column`, or beyond MAX_LINE
    (then it is read to its end in pieces). What lies before the mark is not looked into. Memory: a line of MAX_LINE
    and what JSON makes of it, 0.5 GiB for a text of that length, 2 GiB for the worst (a line of empty lists).
    """
    for number, line in lines_of(file, source, MAX_LINE, "expected one JSON object a line"):
        if not line or line.isspace():
            continue
        try:
            document = _document(line, number, source)
        except _BadLineError as error:
            source.damaged(f"line {number}", str(error))
            continue
        if document is not None:
            source.mark.at = number
            source.mark.documents += 1
            yield document
    if source.mark.documents == 0:
        source.damaged("", f'holds no document; expected lines like {{"{source.options.text_column}": "…"}}')


class _BadLineError(ValueError):
    """What is wrong with a line, as the end of the sentence "file, line n …"."""


def lines_of(
    file: BinaryIO, source: Source, max_line: int, expected: str, *, from_start: bool = False
) -> Iterator[tuple[int, str]]:
    """(number from 1, text with its line end) of each line after the mark; what is too long or no UTF-8 is damage.

    With `from_start` the lines before the mark are given too, as far as they can be read.
    """
    n_done = source.mark.at
    offset = 0
    number = 0
    while line := file.readline(max_line + 1):
        number += 1
        if number == 1 and source.is_tolerant:
            refuse_other_encodings(line[:_PIECE], source.place)
        begin = offset
        offset += len(line)
        if len(line) > max_line:
            if number > n_done:
                why = f"is longer than {max_line >> 20} MiB; {expected}, so cut the document, or write a line for each"
                source.damaged(f"line {number}", why)
            while not line.endswith(b"\n") and (line := file.readline(_PIECE)):
                offset += len(line)
            continue
        if number <= n_done and not from_start:
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            if number <= n_done:
                continue
            found = not_utf8(source.place, begin + error.start, error, line=number)
            if not source.is_tolerant:
                raise found from error
            source.damaged(f"line {number}", str(found).removeprefix(f"{source.place} "))
            continue
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def _document(line: str, number: int, source: Source) -> Document | None:
    """None where the text is empty."""
    record = _parse(line)
    text = _text(record, source.options.text_column)
    if not text or text.isspace():
        return None
    identity, origin = record.get("id"), record.get("source")
    document = Document(
        str(identity) if isinstance(identity, (str, int)) else f"{source.name}:{number}",
        text,
        origin if isinstance(origin, str) and origin else source.name,
    )
    try:
        _ = document.utf8  # refuses what cannot be UTF-8, and is needed later
        (document.id + document.source).encode()
    except UserError as error:
        raise _BadLineError(f"cannot be UTF-8: {error}") from error
    except UnicodeEncodeError as error:
        raise _BadLineError("has half of a surrogate pair in its id or source") from error
    return document


def _parse(line: str) -> dict[str, Any]:
    try:
        line = line.strip()
        record, end = _DECODER.raw_decode(line)  # json.loads looks at seven options first: a fifth of its time here
        if end != len(line):
            raise json.JSONDecodeError("Extra data", line, end)
    except json.JSONDecodeError as error:
        raise _BadLineError(f"is not JSON: {error.msg} at column {error.colno}; expected one object a line") from error
    except (RecursionError, ValueError) as error:  # brackets nested 1,000 deep; a number of 5,000 digits
        raise _BadLineError(f"is no JSON that can be read: {error}") from error
    if not isinstance(record, dict):
        raise _BadLineError(f"is a JSON {type(record).__name__}; expected an object with a text")
    return record


def _text(record: dict[str, Any], column: str) -> str:
    text = record.get(column)
    if text is None and "." in column:
        text = record
        for key in column.split("."):
            text = text.get(key) if isinstance(text, dict) else None
    if isinstance(text, str):
        return text
    found = ", ".join(map(str, list(record)[:6])) or "none"
    hint = ""
    if {"instruction", "messages", "conversations"} & record.keys():
        hint = "; instructions go to scripts/finetune.py --data"
    raise _BadLineError(f'has no string under "{column}" (its keys: {found}){hint}')
