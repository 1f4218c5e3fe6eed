"""Files of one JSON object a line, each with the step it belongs to: whole after any death, cut back on a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jarvis_nano.errors import UserError
from jarvis_nano.observe.replacing import replace_file


class JsonLines:
    """A file of one JSON object a line, each with a step, appended to with one write a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()

    def _open(self) -> Any:
        """The file, opened for appending, after what a killed process left half written is cut off."""
        if self._path.exists():
            data = self._path.read_bytes()
            whole = _whole_lines(data)
            if whole != data:
                replace_file(self._path, whole)
        # Unbuffered: a line is one write(2), whole in the file when append() returns.
        return self._path.open("ab", buffering=0)

    def append(self, row: dict[str, Any]) -> None:
        """Write one object, with a whole number `step`; ValueError on NaN and infinities, which JSON has not."""
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            while line:  # a write to a disk about to be full may be short; the next one says so
                line = line[self._file.write(line) :]
        except OSError as error:
            error.filename = str(self._path)  # write(2) does not know the name; the user needs it
            raise

    def truncate(self, step: int) -> None:
        """Drop the lines after `step`; the file is rewritten beside itself and renamed into place."""
        rows = _parse(self._path, self._path.read_bytes())
        if all(row["step"] <= step for _, row in rows):
            return
        self._file.close()
        replace_file(self._path, b"".join(line for line, row in rows if row["step"] <= step))
        self._file = self._open()

    def close(self) -> None:
        self._file.close()


def _whole_lines(data: bytes) -> bytes:
    """`data` without a half-written last line; a last line that only lacks its newline gets it."""
    head, newline, tail = data.rpartition(b"\n")
    if not tail:
        return data
    try:
        json.loads(tail)
    except ValueError:
        return head + newline
    return data + b"\n"


def _parse(path: Path, data: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Every whole line with the object it holds. UserError where a line is not an object with a step."""
    parsed = []
    for number, line in enumerate(_whole_lines(data).splitlines(keepends=True), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row["step"], int):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}, line {number}: found {line[:60]!r}, expected one JSON object with a whole number `step`; "
                "delete that line and run again"
            ) from None
        parsed.append((line, row))
    return parsed


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file, oldest first, while it is being written too; a half-written last line is left out.

    UserError if the file is missing, or a line is not an object with a step.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no {path.name} in {path.parent}; give the folder of a run, such as runs/demo") from None
    return [row for _, row in _parse(path, data)]
