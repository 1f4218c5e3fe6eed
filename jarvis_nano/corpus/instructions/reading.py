"""Files of instructions as conversations to train on: all rows, or one error with every faulty line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jarvis_nano.corpus.instructions.formats import is_conversation, parse
from jarvis_nano.corpus.instructions.messages import Fault, Message
from jarvis_nano.corpus.instructions.rows import Row, Rows
from jarvis_nano.corpus.instructions.rules import refuses
from jarvis_nano.corpus.sources.opening import COMPRESSED_SUFFIXES, open_bytes
from jarvis_nano.errors import UserError

FAULTS_SHOWN = 10
_SUFFIXES = (".jsonl", ".json", ".ndjson")


@contextmanager
def open_rows(path: Path | str) -> Iterator[Rows]:
    """The rows of a file; UserError where it is missing, a folder, empty, or of a format that is not JSON."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected a .jsonl file of instructions")
    with open_bytes(path, str(path)) as file:
        yield Rows(file, str(path))


def read_instructions(path: Path | str) -> list[list[Message]]:
    """The conversations of a file, in its order.

    A row is in one of six formats (formats.py; docs/instructions.md shows each), such as {"instruction": …,
    "response": …} or {"messages": [{"role": …, "content": …}, …]}, ending with the assistant; other keys are ignored,
    blank lines passed over; .gz, .bz2 and .zst are unpacked. UserError where the file is missing or empty, and with
    every faulty line: not UTF-8, not JSON, a field missing or empty, roles out of order.
    """
    return [messages for _, messages in read_numbered_instructions(path)]


def read_numbered_instructions(path: Path | str) -> list[tuple[int, list[Message]]]:
    """As read_instructions, each conversation with the number of its line."""
    found: list[tuple[int, list[Message]]] = []
    faults: list[str] = []
    with open_rows(path) as rows:
        for row in rows:
            fault, messages = _conversation(row)
            if fault is None:
                found.append((row.line, messages))
            else:
                faults.append(f"line {fault.line or row.line}: {fault.found}")
    if faults:
        more = f"\n  … and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
        raise UserError(f"{path} has {len(faults)} faulty line(s):\n  " + "\n  ".join(faults[:FAULTS_SHOWN]) + more)
    if not found:
        raise UserError(f'{path} holds no conversation; expected lines such as {{"instruction": "…", "response": "…"}}')
    return found


def _conversation(row: Row) -> tuple[Fault | None, list[Message]]:
    """The first fault for which a row cannot be trained on, or None, and its messages."""
    faults = list(row.faults)
    messages: list[Message] = []
    if row.record is not None:
        conversation, formal = parse(row.record)
        faults += formal
        messages = conversation.messages if conversation else []
    return next((fault for fault in faults if refuses(fault)), None), messages


def is_instructions(path: Path | str) -> bool:
    """Whether a file named .jsonl, .json or .ndjson, packed or not, begins with a conversation.

    A row with nothing but a text is one of a corpus, unless that text has the marks of turns.
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in _SUFFIXES or not path.is_file():
        return False
    try:
        with open_rows(path) as rows:
            first = next(rows, None)
    except UserError:
        return False  # the reader of texts says what is wrong with it
    return first is not None and first.record is not None and is_conversation(first.record)


def read_records(path: Path | str) -> Iterator[dict[str, Any]]:
    """The rows of a file as they are, for those who know their keys; what cannot be read is passed over."""
    with open_rows(path) as rows:
        for row in rows:
            if row.record is not None:
                yield row.record
