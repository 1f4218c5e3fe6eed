"""A large file in pieces at record borders: byte ranges, bzip2 members, or chunks of a stream read in order.

A record belongs to the piece in which it begins; what belongs to nobody (half a record at a piece's start) was read by
the piece before.
"""

from __future__ import annotations

import bz2
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 20
_MEMBER = re.compile(rb"BZh[1-9]1AY&SY")  # of 10 bytes: it does not occur by chance


@dataclass(frozen=True)
class Border:
    """Where a record may begin: at `mark`, or behind it."""

    mark: bytes
    behind: bool

    def find(self, data: bytes | bytearray, start: int = 0) -> int:
        """Where in data the first record whose mark begins at `start` or later begins; -1 where there is none."""
        at = data.find(self.mark, start)
        return at + len(self.mark) if at >= 0 and self.behind else at


LINES = Border(b"\n", behind=True)
PAGES = Border(b"<page>", behind=False)
_GAP = re.compile(rb"\n[ \t\r]*\n[ \t\r]*\n")


def bzip2_members(file: BinaryIO) -> Iterator[int]:
    """The offsets at which members (streams) begin, looked for in the packed bytes. Memory: two chunks."""
    offset, held = 0, b""
    while chunk := file.read(_CHUNK):
        data = held + chunk
        for match in _MEMBER.finditer(data):
            yield offset + match.start()
        held = data[-9:]
        offset += len(data) - len(held)


def open_range(path: Path, begin: int, end: int, border: Border) -> io.BufferedReader:
    """The records that begin in [begin, end) of a plain file.

    From the file's start if begin is 0: what precedes the first record is then there too.
    """
    return _as_file(_clipped(_plain(path, begin, end), border, skip=begin > 0))


def open_members(
    path: Path, members: Sequence[int], end: int, border: Border, on_damage: Callable[[str], None]
) -> io.BufferedReader:
    """The records that begin in the bzip2 members at the offsets `members`; the next one is at `end`.

    on_damage: told why a member cannot be unpacked; the bytes go on with the next one of `members`, so that a record
    is cut there.
    """
    pieces = _members(path, members, end, on_damage)
    return _as_file(_clipped(pieces, border, skip=members[0] > 0))


def _as_file(pieces: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_Pieces(pieces), buffer_size=1 << 16)


def _plain(path: Path, begin: int, end: int) -> Iterator[tuple[bytes, bool]]:
    """(bytes, whether they lie before `end`), to the file's end."""
    with path.open("rb") as file:
        file.seek(begin)
        at = begin
        while chunk := file.read(min(_CHUNK, end - at) if at < end else _CHUNK):
            yield chunk, at < end
            at += len(chunk)


def _members(
    path: Path, members: Sequence[int], end: int, on_damage: Callable[[str], None]
) -> Iterator[tuple[bytes, bool]]:
    """As _plain, the bytes unpacked; a byte lies where its member begins."""
    begin: int | None = members[0]
    with path.open("rb") as file:
        while begin is not None:
            reading = _Members(file, begin)
            try:
                yield from ((data, at < end) for at, data in reading)
                return
            except (OSError, EOFError) as error:
                on_damage(f"is damaged in the bzip2 member at byte {reading.member} ({error}); fetch it again")
                begin = next((member for member in members if member > reading.member), None)


class _Members(Iterator[tuple[int, bytes]]):
    """(offset of the member, bytes unpacked), a mebibyte at most each, from the member at `begin` to the file's end.

    OSError where a member is damaged, EOFError where the file ends within one; `member` says which.
    """

    def __init__(self, file: BinaryIO, begin: int) -> None:
        self.member = self._position = begin
        self._file = file
        self._file.seek(begin)
        self._unpacker, self._packed = bz2.BZ2Decompressor(), b""

    def __next__(self) -> tuple[int, bytes]:
        while True:
            if self._unpacker.eof:
                self._packed = self._unpacker.unused_data
                self.member, self._unpacker = self._position - len(self._packed), bz2.BZ2Decompressor()
            if not self._packed and self._unpacker.needs_input:
                self._packed = self._file.read(_CHUNK)
                self._position += len(self._packed)
                if not self._packed:
                    break
            data = self._unpacker.decompress(self._packed, max_length=_CHUNK)
            self._packed = b""
            if data:
                return self.member, data
        if self._position > self.member:
            raise EOFError("the file ends within it")
        raise StopIteration


def _clipped(pieces: Iterator[tuple[bytes, bool]], border: Border, *, skip: bool) -> Iterator[bytes]:
    """The pieces from the first own record on (without `skip` from the start) to where the first foreign one begins."""
    reach = len(border.mark) - 1  # held back: a mark may lie across two pieces
    held = b""
    n_own = 0  # of the bytes at hand
    for piece, own in pieces:
        data = held + piece
        n_own = len(data) if own else n_own
        if skip:
            at = data.find(border.mark)
            if at >= n_own or (at < 0 and n_own <= 0):
                return  # no record begins here
            if at >= 0:
                skip = False
                at = border.find(data)
                data, n_own = data[at:], n_own - at
        if not skip and not own:
            at = border.find(data, max(0, n_own))
            if at >= 0:
                yield data[:at]
                return
        keep = max(0, len(data) - reach)
        if not skip:
            yield data[:keep]
        held, n_own = data[keep:], n_own - keep
    if not skip:
        yield held


def _last_border(data: bytearray, kind: str) -> int:
    """Where to cut a chunk: behind its last whole record; 0 where it holds none."""
    if kind == "lines":
        return data.rfind(b"\n") + 1
    if kind == "pages":
        at = data.rfind(b"</page>")
        return at + len(b"</page>") if at >= 0 else 0
    last = None
    for last in _GAP.finditer(data, len(data) // 2):  # noqa: B007 (the last one is wanted)
        pass
    if last is not None:
        return last.end()
    paragraph = data.rfind(b"\n\n")
    return paragraph + 2 if paragraph >= 0 else data.rfind(b"\n") + 1


def chunks(file: BinaryIO, kind: str, size: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of pieces of about `size` bytes that end with a record: "pages", "lines" or paragraphs ("text").

    What has no border within four times the size is handed on as it is. Memory: that much.
    """
    offset, held = 0, bytearray()
    while True:
        data = file.read(_CHUNK)
        held += data
        if not data:
            break
        if len(held) < size:
            continue
        cut = _last_border(held, kind)
        if not cut and len(held) < 4 * size:
            continue
        cut = cut or len(held)
        yield offset, bytes(held[:cut])
        del held[:cut]
        offset += cut
    if held:
        yield offset, bytes(held)


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._held = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._held:
            found = next(self._pieces, None)
            if found is None:
                return 0
            self._held = memoryview(found)
        n = min(len(buffer), len(self._held))
        buffer[:n] = self._held[:n]
        self._held = self._held[n:]
        return n
