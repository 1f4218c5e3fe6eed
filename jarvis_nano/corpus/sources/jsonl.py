"""One JSON object a line with its text under "text"; "id" and "source" are kept where they are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources.opening import Mark
from jarvis_nano.corpus.sources.text import not_utf8
from jarvis_nano.errors import UserError

_DECODER = json.JSONDecoder()
MAX_LINE = 64 << 20  # bytes: no document is that long, and a file without line ends must not fill the memory


def read_jsonl(file: BinaryIO, name: str, place: str, mark: Mark) -> Iterator[Document]:
    """The documents of the file after `mark`, which is kept; blank lines and empty texts are passed over.

    `name` goes into the ids, `place` into messages. What lies before the mark is not looked into.
    UserError, with the line, where one is not UTF-8, not JSON, no object with a string "text", or beyond MAX_LINE.
    """
    for number, line in _lines(file, place, mark.at):
        if not line or line.isspace():
            continue
        record = _parse(line, place, number)
        text = _text(record, place, number)
        if not text or text.isspace():
            continue
        identity, source = record.get("id"), record.get("source")
        document = Document(
            str(identity) if isinstance(identity, (str, int)) else f"{name}:{number}",
            text,
            source if isinstance(source, str) and source else name,
        )
        _ = document.utf8  # refuses what cannot be UTF-8, and is needed later
        mark.at = number
        mark.documents += 1
        yield document
    if mark.documents == 0:
        raise UserError(f'{place} holds no document; expected lines like {{"text": "…"}}')


def _lines(file: BinaryIO, place: str, n_done: int) -> Iterator[tuple[int, str]]:
    offset = 0
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise UserError(
                f"{place}, line {number} is longer than {MAX_LINE >> 20} MiB; expected one JSON object a line, "
                "so cut the document, or write a line for each"
            )
        if number <= n_done:
            offset += len(line)
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(place, offset + error.start, error, line=number) from error
        yield number, text.removeprefix("\ufeff") if number == 1 else text
        offset += len(line)


def _parse(line: str, place: str, number: int) -> dict[str, Any]:
    try:
        line = line.strip()
        record, end = _DECODER.raw_decode(line)  # json.loads looks at seven options first: a fifth of its time here
        if end != len(line):
            raise json.JSONDecodeError("Extra data", line, end)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place}, line {number} is not JSON: {error.msg} at column {error.colno}; expected one object a line"
        ) from error
    except (RecursionError, ValueError) as error:  # brackets nested 1,000 deep; a number of 5,000 digits
        raise UserError(f"{place}, line {number} is no JSON that can be read: {error}") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}, line {number} is a JSON {type(record).__name__}; expected an object with a text")
    return record


def _text(record: dict[str, Any], place: str, number: int) -> str:
    text = record.get("text")
    if isinstance(text, str):
        return text
    found = ", ".join(map(str, list(record)[:6])) or "none"
    hint = ""
    if {"instruction", "messages", "conversations"} & record.keys():
        hint = "; instructions go to scripts/finetune.py --data"
    raise UserError(f'{place}, line {number} has no string under "text" (its keys: {found}){hint}')
