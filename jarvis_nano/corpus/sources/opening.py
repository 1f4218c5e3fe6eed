"""A file as a stream of bytes: .gz, .bz2 and .zst are recognised by their first bytes and unpacked on the way."""

from __future__ import annotations

import bz2
import io
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from jarvis_nano.errors import UserError

STDIN = Path("-")


@dataclass
class Mark:
    """How far a reader of several files has come, and where another one is to begin."""

    file: int = 0
    """Files done."""
    at: int = 0
    """Records done in the next one: lines of a .jsonl, documents of a .txt."""
    documents: int = 0
    """Documents found in these records."""


COMPRESSED_SUFFIXES = (".gz", ".bz2", ".zst")
# Bytes unpacked at a time. Small, for these formats can hold 30,000 times their size: a bomb costs 128 MB, not 2 GB.
_CHUNK = 4096


@dataclass(frozen=True)
class _Packing:
    name: str
    suffix: str
    magic: re.Pattern[bytes]
    start: Callable[[], Any]
    test_command: str


_PACKINGS = (
    _Packing("gzip", ".gz", re.compile(rb"\x1f\x8b"), lambda: zlib.decompressobj(wbits=31), "gzip -t"),
    _Packing("bzip2", ".bz2", re.compile(rb"BZh[1-9]"), bz2.BZ2Decompressor, "bzip2 -t"),
    # A frame, or a skippable one as pzstd begins with; windows up to 2 GB, for archives made with `zstd --long=31`.
    _Packing(
        "zstd",
        ".zst",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL),
        lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),
        "zstd -t",
    ),
)


def open_bytes(path: Path, place: str) -> io.BufferedReader:
    """The file's bytes, unpacked; "-" is the standard input. `place` is what messages call it.

    UserError at once where the file is missing or empty, or named .gz, .bz2 or .zst without being so; while reading,
    where the packed data is damaged or ends too early.
    """
    file = _open_plain(path, place)
    head = file.peek(4)
    if not head:
        file.close()
        raise UserError(f"{place} is empty; expected text in UTF-8")
    packing = next((p for p in _PACKINGS if p.magic.match(head)), None)
    if packing is not None:
        return io.BufferedReader(cast(io.RawIOBase, _Unpacked(file, packing, place)), buffer_size=1 << 16)
    promised = next((p for p in _PACKINGS if path.suffix.lower() == p.suffix), None)
    if promised is not None:
        file.close()
        raise UserError(
            f"{place} is named {promised.suffix} but does not begin like {promised.name} data "
            f"(its first bytes are {head[:4].hex(' ')}); it is damaged, or needs its right name"
        )
    return file


def bytes_taken(file: io.BufferedReader) -> int:
    """How many bytes of the file on the disk, packed or not, have been read; 0 where that cannot be told."""
    raw = file.raw
    try:
        return raw._file.tell() if isinstance(raw, _Unpacked) else file.tell()
    except OSError:  # a pipe
        return 0


def _open_plain(path: Path, place: str) -> io.BufferedReader:
    if path == STDIN:
        return cast(io.BufferedReader, sys.stdin.buffer)
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"no such file: {place}; check the path") from error


class _Unpacked(io.RawIOBase):
    """Unpacks one member or frame after another (bzip2 dumps and joined .gz files have many)."""

    def __init__(self, file: BinaryIO, packing: _Packing, place: str) -> None:
        self._file, self._packing, self._place = file, packing, place
        self._unpacker = packing.start()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._next_input()
            if chunk is None:
                return 0
            self._ready = memoryview(self._unpack(chunk))
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def _next_input(self) -> bytes | None:
        if not self._unpacker.eof:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                raise self._damaged("it ends in the middle, as after a broken download")
            return chunk
        rest = self._unpacker.unused_data or self._file.read(_CHUNK)
        while rest and not rest.strip(b"\0"):  # tape and disk padding after the last member
            rest = self._file.read(_CHUNK)
        if not rest:
            return None
        self._unpacker = self._packing.start()
        return cast(bytes, rest)

    def _unpack(self, chunk: bytes) -> bytes:
        try:
            return cast(bytes, self._unpacker.decompress(chunk))
        except (zlib.error, zstandard.ZstdError, EOFError) as error:
            raise self._damaged(str(error)) from error
        except OSError as error:  # what bz2 raises for bad data; a true I/O error cannot come from memory
            raise self._damaged(str(error)) from error

    def _damaged(self, what: str) -> UserError:
        return UserError(
            f"{self._place} is damaged {self._packing.name} data: {what}; "
            f"fetch it again (`{self._packing.test_command}` tests a file)"
        )

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
