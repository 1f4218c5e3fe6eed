"""The rows of an instruction file, streaming: JSON lines, an array over many lines, objects joined without line ends.

A row that cannot be read is given with its fault, and the reading goes on behind it. Memory: a row, at most MAX_ROW
bytes, twice over. What a row means is formats.py's.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from jarvis_nano.corpus.instructions.layout import KEYS, is_lines, refuse_foreign
from jarvis_nano.corpus.instructions.messages import Fault, kind_of

MAX_ROW = 16 << 20  # bytes
MAX_DEPTH = 100  # brackets within brackets; Python's own limit is about 1,000
MAX_FAULTS = 100  # of one line: each costs time in proportion to the line, which may be all faults
_CHUNK = 1 << 16  # characters
_NEXT_ROW = re.compile(rf"""(?:\}}|\n)[\s,\ufeff]{{0,24}}(\{{\s{{0,24}}["'](?:{KEYS})["']\s{{0,8}}:)""")
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_KEPT = 256  # characters that are kept of what is passed over: a row's beginning may lie across the joint
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_BAD_BYTE = re.compile("[\udc80-\udcff]")


class Row(NamedTuple):
    """One row: its first line (from 1), its text in the file, what it holds, and why it cannot be read."""

    line: int
    raw: str
    record: dict[str, Any] | None
    faults: tuple[Fault, ...] = ()


class _Decoder:
    """JSON that notices keys given twice and refuses NaN."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self.raw_decode = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=self._refuse_constant
        ).raw_decode

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            self.repeated += [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]
        return found

    @staticmethod
    def _refuse_constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON number")


class Rows(Iterator[Row]):
    """The rows of an opened file; `crlf`, (first line, how many), and `bom`, the first line with one, 0: none, are
    known at the end."""

    def __init__(self, file: io.BufferedReader, place: str) -> None:
        """UserError at once where the file is UTF-16, Parquet, or another format that is not JSON."""
        self.file = file
        self._decoder = _Decoder()
        self.crlf: tuple[int, int] = (0, 0)
        self.bom = 0
        head = file.peek(1 << 16)
        refuse_foreign(head, place)
        self._streams = not is_lines(head)
        self._rows = self._stream() if self._streams else self._lines()

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def __next__(self) -> Row:
        return next(self._rows)

    # -- one row a line ----------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[Row]:
        number = n_crlf = first_crlf = 0
        while line := self.file.readline(MAX_ROW + 1):
            number += 1
            if len(line) > MAX_ROW:
                yield Row(number, "", None, (_too_long(),))
                while line and not line.endswith(b"\n"):
                    line = self.file.readline(_CHUNK)
                continue
            if line.endswith(b"\r\n"):
                n_crlf += 1
                first_crlf = first_crlf or number
                self.crlf = (first_crlf, n_crlf)
            if line.startswith(codecs.BOM_UTF8):  # also where files were joined
                self.bom = self.bom or number
                line = line[3:]
            try:
                text = line.decode().strip()
            except UnicodeDecodeError as error:
                found = f"not UTF-8 (byte {line[error.start]:#04x} at {error.start}); save the file as UTF-8"
                yield Row(number, line.decode(errors="replace").strip(), None, (Fault("not-utf8", found),))
                continue
            if text:
                yield from self._objects(text, number)

    def _objects(self, text: str, number: int) -> Iterator[Row]:
        """The rows of one line: one, as a rule."""
        position = n_faults = 0
        while position < len(text):
            if n_faults == MAX_FAULTS:
                found = f"more than {MAX_FAULTS} faults in this line; the rest of it is passed over"
                yield Row(number, "", None, (Fault("bad-json", found),))
                return
            try:
                row, end = self._decode(text, position, number)
            except _Unreadable as error:
                following = _NEXT_ROW.search(text, error.at)
                end = following.start(1) if following else len(text)
                yield Row(number, text[position:end], None, (error.fault,))
                n_faults += 1
            else:
                yield row
                gap = _BETWEEN.match(text, end)
                begin = gap.end() if gap else end
                if "," in text[end:begin] or (begin < len(text) and text[begin] not in "{["):
                    found = f"not JSON: Extra data at column {end + 1}; expected one object a line"
                    fault = Fault("bad-json", found, fix="remove what stands behind the object")
                    following = _NEXT_ROW.search(text, end - 1)
                    begin = following.start(1) if following else len(text)
                    yield Row(number, text[end:begin], None, (fault,))
                    n_faults += 1
                end = begin
            position = end

    # -- any other layout --------------------------------------------------------------------------------------------

    def _stream(self) -> Iterator[Row]:
        source = _Text(self.file)
        source.fill()
        source.skip()
        is_array = source.buffer.startswith("[", source.at)
        if is_array:
            source.at += 1
        while source.skip():
            if source.buffer[source.at] == "]" and is_array:
                source.at += 1
                is_array = False
                continue
            line = source.line
            try:
                row, end = self._decode(source.buffer, source.at, line, more=source.more)
            except _Incomplete:
                if not source.is_full:
                    source.fill()
                    continue
                yield Row(line, "", None, (_too_long(),))
                source.skip_to_next_row(source.at + 1)
            except _Unreadable as error:
                begin, buffer = source.at, source.buffer
                source.skip_to_next_row(error.at)
                end = source.at if source.buffer is buffer else len(buffer)
                yield Row(line, buffer[begin : min(end, begin + _CHUNK)], None, (error.fault,))
                if source.is_done and buffer.rstrip().endswith("]"):
                    is_array = False
            else:
                source.at = end
                yield row
            self.crlf, self.bom = source.crlf, source.bom
        self.crlf, self.bom = source.crlf, source.bom
        if is_array:
            found = "not JSON: the array is not closed; the file may be cut off"
            yield Row(source.line, "", None, (Fault("bad-json", found, fix="add the ] or fetch the file again"),))

    def _decode(self, text: str, position: int, line: int, more: bool = False) -> tuple[Row, int]:
        decoder = self._decoder
        if decoder.repeated:
            decoder.repeated.clear()
        try:
            record, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            if more and (error.msg.startswith("Unterminated string") or error.pos >= len(text) - 12):
                raise _Incomplete from None
            # The decoder's own column counts from the line in which the error is, which need not be the row's first.
            column = error.pos - text.rfind("\n", 0, error.pos) if "\n" in text else error.pos + 1
            found = f"not JSON: {error.msg.removesuffix(' at')} at column {column}; expected one object a line"
            at_line = line + text.count("\n", position, error.pos)
            raise _Unreadable(Fault("bad-json", found, line=at_line), max(error.pos, position + 1)) from None
        except RecursionError as error:  # brackets nested about 1,000 deep: no row begins among the first of them
            fault = Fault("bad-json", f"no JSON that can be read: {error}")
            raise _Unreadable(fault, _behind_brackets(text, position, 8 * MAX_DEPTH)) from None
        except ValueError as error:  # a number of 5,000 digits; NaN
            fault = Fault("bad-json", f"no JSON that can be read: {error}")
            raise _Unreadable(fault, position + 1) from None
        if end - position > MAX_ROW:
            return Row(line, "", None, (_too_long(),)), end
        raw = text[position:end]
        if raw.count("{") + raw.count("[") > MAX_DEPTH and nesting(raw) > MAX_DEPTH:
            return Row(line, raw, None, (Fault("bad-json", f"JSON nested deeper than {MAX_DEPTH}"),)), end
        if not isinstance(record, dict):
            fault = Fault("not-an-object", f"{kind_of(record)}; expected an object")
            return Row(line, raw, None, (fault,)), end
        faults: tuple[Fault, ...] = ()
        if decoder.repeated:
            names = ", ".join(f'"{key:.40}"' for key in dict.fromkeys(decoder.repeated))
            found = f"the key {names} is there more than once; only the last is read"
            faults = (Fault("duplicate-key", found),)
        if self._streams and not raw.isascii() and (bad := _BAD_BYTE.search(raw)):
            found = f"not UTF-8 (byte {ord(bad[0]) - 0xDC00:#04x}); save the file as UTF-8"
            return Row(line, raw.encode(errors="replace").decode(), None, (Fault("not-utf8", found),)), end
        return Row(line, raw, record, faults), end


class _Unreadable(Exception):
    """A row that is no JSON; `at`: the character from which the next one can be looked for."""

    def __init__(self, fault: Fault, at: int) -> None:
        super().__init__(fault.found)
        self.fault, self.at = fault, at


class _Incomplete(Exception):
    """The text ends in the middle of a row."""


class _Text:
    """The file as text, as much of it as the row in hand needs."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        # Bytes that are no UTF-8 become lone surrogates, by which the row that holds them is known.
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.buffer, self.at, self.more, self.bom = "", 0, True, 0
        self._counted, self._line = 0, 1
        self.crlf = (0, 0)

    @property
    def line(self) -> int:
        """The line, from 1, of the place that has been reached."""
        lines = self.buffer.count("\n", self._counted, self.at)
        if lines and "\r\n" in self.buffer[self._counted : self.at]:
            self.crlf = (self.crlf[0] or self._line, self.crlf[1] + self.buffer.count("\r\n", self._counted, self.at))
        self._line += lines
        self._counted = self.at
        return self._line

    @property
    def is_full(self) -> bool:
        return len(self.buffer) - self.at > MAX_ROW

    @property
    def is_done(self) -> bool:
        return not self.more and self.at == len(self.buffer)

    def fill(self) -> None:
        """Forget what is done and read as much again as is held, so that long rows are looked at a few times only."""
        _ = self.line
        chunk = self._file.read(max(_CHUNK, len(self.buffer) - self.at))
        text = self._utf8.decode(chunk, final=not chunk)
        self.more = bool(chunk)
        self.buffer = self.buffer[self.at :] + text
        self.at = self._counted = 0

    def skip(self) -> bool:
        """Pass over what stands between rows; False at the end of the file."""
        while True:
            begin, gap = self.at, _BETWEEN.match(self.buffer, self.at)
            self.at = gap.end() if gap else self.at
            if not self.bom and "\ufeff" in self.buffer[begin : self.at]:
                self.bom = self.line
            if self.at < len(self.buffer):
                return True
            if not self.more:
                return False
            self.fill()

    def skip_to_next_row(self, at: int) -> None:
        """Go to where a row seems to begin after the character `at`, or to the end of the file."""
        self.at = at
        while True:
            following = _NEXT_ROW.search(self.buffer, max(0, self.at - 1))
            if following:
                self.at = following.start(1)
                return
            self.at = max(self.at, len(self.buffer) - _KEPT) if self.more else len(self.buffer)
            if not self.more:
                return
            self.fill()


def nesting(text: str) -> int:
    """How deep the brackets of a JSON text are nested."""
    depth = deepest = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in "]}":
            depth -= 1
    return deepest


def _behind_brackets(text: str, position: int, n: int) -> int:
    """Behind the n-th opening bracket from a position on."""
    for found in _STRING_OR_BRACKET.finditer(text, position):
        n -= found[0] in "[{"
        if not n:
            return found.end()
    return len(text)


def _too_long() -> Fault:
    return Fault("row-too-long", f"a row of more than {MAX_ROW >> 20} MiB; expected one conversation a row")
