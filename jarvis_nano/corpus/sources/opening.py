"""A file as a stream of bytes: .gz, .bz2, .zst and .xz are told by their first bytes and unpacked on the way."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import stat
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from jarvis_nano.corpus.sources.source import Damage
from jarvis_nano.errors import UserError

STDIN = Path("-")
HEAD = 1 << 16  # bytes that open_bytes lets be peeked at, if the file has them


COMPRESSED_SUFFIXES = (".gz", ".bz2", ".zst", ".xz")
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
    _Packing(
        "xz",
        ".xz",
        re.compile(rb"\xfd7zXZ\0"),
        lambda: lzma.LZMADecompressor(memlimit=256 << 20),  # xz -9 needs 65 MiB
        "xz -t",
    ),
)


def open_bytes(path: Path, place: str, on_damage: Callable[[Damage], None] | None = None) -> io.BufferedReader:
    """The file's bytes, unpacked; "-" is the standard input. `place` is for messages; `peek(HEAD)` looks ahead.

    UserError at once where the file is missing or empty, or named as packed without being so; while reading, where
    the packed data is damaged or ends too early. With `on_damage` the damage goes there, and the bytes end with it.
    Memory: what 4 KiB of packed data hold, at most 128 MiB (a bomb), and the window of the packing (zstd: 2 GiB).
    """
    file = _open_plain(path, place)
    head = file.peek(6)
    if not head:
        file.close()
        raise UserError(f"{place} is empty; expected text in UTF-8")
    packing = next((p for p in _PACKINGS if p.magic.match(head)), None)
    if packing is not None:
        unpacked = _Unpacked(file, packing, place, on_damage)
        return io.BufferedReader(cast(io.RawIOBase, unpacked), buffer_size=HEAD)
    promised = next((p for p in _PACKINGS if path.suffix.lower() == p.suffix), None)
    if promised is not None:
        file.close()
        raise UserError(
            f"{place} is named {promised.suffix} but does not begin like {promised.name} data "
            f"(its first bytes are {head[:4].hex(' ')}); it is damaged, or needs its right name"
        )
    return file


def is_packed(head: bytes) -> bool:
    """Whether a file that begins with `head` (6 bytes or more) is unpacked by open_bytes."""
    return any(packing.magic.match(head) for packing in _PACKINGS)


def bytes_taken(file: io.BufferedReader) -> int:
    """How many bytes of the file on the disk, packed or not, have been read; 0 where that cannot be told."""
    raw = file.raw
    try:
        return raw._file.tell() if isinstance(raw, _Unpacked) else file.tell()
    except OSError:  # a pipe
        return 0


def _open_plain(path: Path, place: str) -> io.BufferedReader:
    if path == STDIN:
        return io.BufferedReader(_Pipe(cast(io.BufferedReader, sys.stdin.buffer)), buffer_size=HEAD)
    try:
        file = cast(io.BufferedReader, path.open("rb", buffering=HEAD))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"no such file: {place}; check the path") from error
    except IsADirectoryError as error:
        raise UserError(f"{place} is a folder, or has become one; expected a file") from error
    if not stat.S_ISREG(path.stat().st_mode):
        return io.BufferedReader(_Pipe(file), buffer_size=HEAD)
    return file


class _Pipe(io.RawIOBase):
    """Bytes that come in drips, handed on in full buffers, so that a peek shows a whole head. Leaves stdin open."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)  # BufferedReader's goes on until the buffer is full or the stream ends

    def close(self) -> None:
        if not self.closed and self._file is not sys.stdin.buffer:
            self._file.close()
        super().close()


class _Unpacked(io.RawIOBase):
    """Unpacks one member or frame after another (bzip2 dumps and joined .gz files have many)."""

    def __init__(
        self, file: BinaryIO, packing: _Packing, place: str, on_damage: Callable[[Damage], None] | None
    ) -> None:
        self._file, self._packing, self._place, self._on_damage = file, packing, place, on_damage
        self._unpacker = packing.start()
        self._ready = memoryview(b"")
        self._at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the data goes: a peek at the beginning then shows a whole head."""
        n_filled = 0
        while n_filled < len(buffer) and (self._ready or self._unpack_more()):
            n = min(len(buffer) - n_filled, len(self._ready))
            buffer[n_filled : n_filled + n] = self._ready[:n]
            self._ready = self._ready[n:]
            n_filled += n
        return n_filled

    def _unpack_more(self) -> bool:
        """Have something ready; False at the end, and where the damage has been handed over."""
        while not self._ready and not self._at_end:
            try:
                chunk = self._next_input()
                self._at_end = chunk is None
                self._ready = memoryview(self._unpack(chunk) if chunk else b"")
            except UserError as error:
                if self._on_damage is None:
                    raise
                self._at_end = True
                self._on_damage(Damage(self._place, "", str(error).removeprefix(f"{self._place} ")))
        return bool(self._ready)

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
        except (zlib.error, zstandard.ZstdError, lzma.LZMAError, EOFError) as error:
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
