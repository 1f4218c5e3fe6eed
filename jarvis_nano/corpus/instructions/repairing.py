"""Instruction files written anew: repaired (mending.py), rows beyond repair dropped; or converted.

Every change has a reason and a line. A row with nothing to change is copied as it stands.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from jarvis_nano.corpus.instructions import rows
from jarvis_nano.corpus.instructions.checking import Checks, Progress, row_faults
from jarvis_nano.corpus.instructions.converting import CannotHold, Render, convert
from jarvis_nano.corpus.instructions.formats import Conversation
from jarvis_nano.corpus.instructions.mending import Mender
from jarvis_nano.corpus.instructions.messages import Fault
from jarvis_nano.corpus.instructions.reading import FAULTS_SHOWN, open_rows
from jarvis_nano.corpus.instructions.repeats import conversation_key, prompt_key, prompt_of
from jarvis_nano.corpus.instructions.rows import Row
from jarvis_nano.corpus.instructions.rules import RULES
from jarvis_nano.corpus.instructions.templates import FOREIGN_TOKENS
from jarvis_nano.corpus.instructions.texts import TextRules
from jarvis_nano.corpus.sources.opening import COMPRESSED_SUFFIXES, bytes_taken
from jarvis_nano.errors import UserError

CHANGES_KEPT = 10_000


class Change(NamedTuple):
    """What was done to the row of a line: "repaired" or "dropped", and why."""

    file: str
    line: int
    action: str
    why: str


@dataclass
class Written:
    """What came out: rows read and written, and what was changed."""

    rows: int = 0
    written: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By action and reason; a row may be repaired for several."""
    changes: list[Change] = field(default_factory=list)
    """The first CHANGES_KEPT."""

    def add(self, file: str, line: int, action: str, reasons: Iterable[str], why: str) -> None:
        self.counts.update((action, reason) for reason in reasons)
        if len(self.changes) < CHANGES_KEPT:
            self.changes.append(Change(file, line, action, why))


def write_repaired(
    paths: Sequence[Path | str],
    out: Path,
    checks: Checks,
    *,
    repair: bool = True,
    to: str | None = None,
    render: Render | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write the rows of the files into one JSON lines file, beside and renamed; `to`: in that format.

    With `repair` what can be mended is, rows that still have an error are dropped, exact duplicates and rows of
    checks.against too: check_file finds no error in the result. Without it nothing but the format changes. UserError
    where `out` is one of the inputs, and, all lines named, where a row cannot be read (without `repair`) or the format
    has no place for what is in it; then nothing is written. Memory: a row, and about 100 bytes a row for duplicates.
    """
    refuse_output(paths, out, checks.against.name if checks.against else None)
    writer = _Writer(checks, repair, to, render)
    with _file_beside(out) as file:
        for path in paths:
            with open_rows(path) as found:
                for row in found:
                    if line := writer.line_of(row, str(path)):
                        file.write(line + b"\n")
                    if progress and writer.result.rows % 256 == 0:
                        progress(bytes_taken(found.file))
        if writer.refused:
            shown = "\n  ".join(writer.refused[:FAULTS_SHOWN])
            more = len(writer.refused) - FAULTS_SHOWN
            rest = f"\n  … and {more} more" if more > 0 else ""
            raise UserError(f"{len(writer.refused)} row(s) cannot be written to {out}:\n  {shown}{rest}")
        if not writer.result.written:
            raise UserError(f"no row is left to write to {out}: {writer.why_dropped()}")
    return writer.result


class _Writer:
    """Row in, line out, with what was done in `result`."""

    def __init__(self, checks: Checks, repair: bool, to: str | None, render: Render | None) -> None:
        self._checks, self._repair, self._to, self._render = checks, repair, to, render
        self._rules: TextRules = checks.text_rules()
        self._mender = Mender((*checks.special_tokens, *FOREIGN_TOKENS))
        self._seen: set[int] = set()
        evaluated = checks.against.rows if checks.against else ()
        self._against = {prompt_key(prompt_of(messages)) for _, messages in evaluated}
        self.result = Written()
        self.refused: list[str] = []

    def why_dropped(self) -> str:
        """For an empty result: how many rows there were, and by which rules they went."""
        reasons = ", ".join(f"{rule} {n}" for (action, rule), n in self.result.counts.items() if action == "dropped")
        return f"the {self.result.rows} row(s) are beyond repair or to be left out ({reasons or 'there are none'})"

    def line_of(self, row: Row, place: str) -> bytes | None:
        """The row as it is to be written; None where it is dropped or refused."""
        self.result.rows += 1
        record, mended = self._mender.mend(row) if self._repair else (row.record, [])
        conversation, faults = self._judge(row, record)
        if self._repair:
            dropped = self._reasons_to_drop(row, record, conversation, faults)
            if dropped:
                self.result.add(place, row.line, "dropped", [code for code, _ in dropped], dropped[0][1])
                return None
            if mended:
                self.result.add(place, row.line, "repaired", mended, ", ".join(mended))
        elif unreadable := next((fault for fault in faults if RULES[fault.code].unreadable), None):
            self.refused.append(f"{place}:{row.line}: {unreadable.found}")
            return None
        return self._written(row, record, conversation, place, changed=bool(mended))

    def _written(
        self, row: Row, record: dict[str, Any] | None, conversation: Conversation | None, place: str, changed: bool
    ) -> bytes | None:
        if self._to and conversation and (conversation.format != self._to):
            try:
                record = convert(conversation, self._to, render=self._render)
            except CannotHold as error:
                self.refused.append(f"{place}:{row.line}: {error}")
                return None
        elif not changed and "\n" not in row.raw:
            self.result.written += 1
            return row.raw.encode()
        try:
            line = json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # half a surrogate pair in a key that nobody reads
            line = json.dumps(record).encode()
        if len(line) > rows.MAX_ROW:
            self.refused.append(f"{place}:{row.line}: written anew it has more than {rows.MAX_ROW >> 20} MiB")
            return None
        self.result.written += 1
        return line

    def _judge(self, row: Row, record: dict[str, Any] | None) -> tuple[Conversation | None, list[Fault]]:
        if record is None:
            return None, list(row.faults)
        faults = () if self._repair else row.faults
        return row_faults(Row(row.line, "", record, faults), self._rules)

    def _reasons_to_drop(
        self, row: Row, record: dict[str, Any] | None, conversation: Conversation | None, faults: list[Fault]
    ) -> list[tuple[str, str]]:
        """(code, why) of all that forbids a row."""
        found = [
            (fault.code, f"{fault.code}: {fault.found}")
            for fault in faults
            if RULES[fault.code].unreadable
            or (RULES[fault.code].severity == "error" and fault.code not in self._checks.ignore)
        ]
        if found or conversation is None:
            return found or [("bad-json", "no conversation")]
        if "duplicate-key" not in self._checks.ignore and _differing_twice(row):
            return [("duplicate-key", f"duplicate-key: {row.faults[0].found}, and the two differ")]
        key = conversation_key(conversation.messages)
        if key in self._seen and "duplicate" not in self._checks.ignore:
            return [("duplicate", "duplicate: the conversation was there before")]
        use_against = self._against and "leak" not in self._checks.ignore
        if use_against and prompt_key(prompt_of(conversation.messages)) in self._against:
            return [("leak", "leak: its prompt is in the evaluation file")]
        self._seen.add(key)
        return []


def _differing_twice(row: Row) -> bool:
    """Whether a key that is there twice has two values: nobody knows which is meant."""
    if not any(fault.code == "duplicate-key" for fault in row.faults):
        return False
    differing: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found and found[key] != value:
                differing.append(key)
            found[key] = value
        return found

    json.loads(row.raw, object_pairs_hook=collect)
    return bool(differing)


# -- the file --------------------------------------------------------------------------------------------------------


def refuse_output(paths: Sequence[Path | str], out: Path, against: Path | str | None = None) -> None:
    """UserError where `out` is one of the inputs, a packed file, a folder, or in none."""
    if out.suffix.lower() in COMPRESSED_SUFFIXES:
        raise UserError(f"{out} would be packed; give a name such as {out.stem}, and pack it afterwards")
    if out.is_dir():
        raise UserError(f"{out} is a folder; give the name of a file to write")
    if not out.parent.is_dir():
        raise UserError(f"{out.parent} is no folder; make it first, or choose another place")
    inputs = [*map(Path, paths), *([Path(against)] if against else [])]
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise UserError(f"{out} is the input {path}; an input is never overwritten: choose another name")


@contextmanager
def _file_beside(out: Path) -> Iterator[IO[bytes]]:
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        try:
            file = partial.open("wb")
        except FileNotFoundError as error:  # a folder such as /proc, where no file can be made
            raise UserError(f"{out} cannot be written ({error.strerror}); choose another place") from None
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
