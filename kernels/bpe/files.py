"""Files of ids: the header that every one has, and whole text files encoded into one of them.

The format is that of a shard (jarvis_nano/data/shards.py): 64 bytes, then the ids, little-endian, memory-mapped.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from jarvis_nano.errors import UserError

if TYPE_CHECKING:
    from .op import BpeEncoder, Errors

MAGIC = b"JNSHARD\0"
VERSION = 1
# magic, version, bytes an id, number of ids, SHA-256 of tokenizer.json, 8 bytes for later: 64, so that ids are aligned
HEADER = struct.Struct("<8sIIQ32s8x")
INDEX_FORMAT = "jarvis_nano-ids"
PIECE = 16 << 20
"""Bytes of text encoded at a time."""

Progress = Callable[[int, int], None]
"""Told the bytes of text done and the bytes in all."""

# Between these two, every scanner of csrc/bpe_scan.h begins a new word whatever stands around them: the letter ends
# one, and the space belongs to what follows.
_CUT = re.compile(rb"[a-z](?= [a-z])")


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """uint16 where every id fits, uint32 past 65,536 ids; little-endian on every machine."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def header(dtype: np.dtype[Any], n_ids: int, tokenizer_hash: str) -> bytes:
    """The 64 bytes before the ids. tokenizer_hash: SHA-256 of the tokenizer.json, in hexadecimal."""
    return HEADER.pack(MAGIC, VERSION, dtype.itemsize, n_ids, bytes.fromhex(tokenizer_hash))


def encode_files(
    encoder: BpeEncoder,
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    special: bool = False,
    errors: Errors = "strict",
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Encode each file, whole, into the file `out`; (ids as a memory map, int64 offsets (len(paths) + 1,)).

    A file's ids are those of encode() of its bytes. Files are memory-mapped and encoded PIECE bytes at a time, so that
    memory stays flat; a file that cannot be cut safely (a tokenizer that normalizes, a text without spaces) goes in
    one piece. Beside `out` lies `out`.json with the names, bytes and offsets. Both are written beside and renamed.
    UserError for a file that is missing or not UTF-8, with the place.
    """
    files = [Path(path) for path in paths]
    sizes = [_size(path) for path in files]
    out, partial = Path(out), Path(f"{os.fspath(out)}.{os.getpid()}.partial")
    dtype, digest = dtype_for(encoder.vocab_size), hashlib.sha256(encoder.raw).hexdigest()
    offsets = np.zeros(len(files) + 1, dtype=np.int64)
    done = 0
    try:
        with partial.open("wb") as written:
            written.write(bytes(HEADER.size))
            for number, path in enumerate(files):
                offsets[number + 1] = offsets[number]
                for ids, n_bytes in _encoded(encoder, path, special, errors):
                    written.write(np.ascontiguousarray(ids, dtype=dtype).data)
                    offsets[number + 1] += len(ids)
                    done += n_bytes
                    if progress is not None:
                        progress(done, sum(sizes))
            written.seek(0)
            written.write(header(dtype, int(offsets[-1]), digest))
            _sync(written)
        _write_index(Path(f"{os.fspath(out)}.json"), files, sizes, offsets, digest)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    if not offsets[-1]:
        return np.zeros(0, dtype), offsets  # nothing cannot be mapped
    return np.asarray(np.memmap(out, dtype, "r", HEADER.size, (int(offsets[-1]),))), offsets


def _size(path: Path) -> int:
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the files in it")
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}; check the path") from error


def _encoded(encoder: BpeEncoder, path: Path, special: bool, errors: Errors) -> Iterator[tuple[np.ndarray, int]]:
    """The ids of each piece of a file, and how many bytes it has."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size == 0:  # a pipe, or a file that is made as it is read
            whole = file.read()
            if whole:
                yield _encode_piece(encoder, memoryview(whole), 0, path, special, errors), len(whole)
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text, memoryview(text) as view:
            begin = 0
            while begin < len(text):
                end = _end_of_piece(text, begin) if encoder.can_be_cut(special) else len(text)
                with view[begin:end] as piece:
                    yield _encode_piece(encoder, piece, begin, path, special, errors), end - begin
                _let_go(text, begin, end)
                begin = end


def _let_go(text: mmap.mmap, begin: int, end: int) -> None:
    """Tell the system that these pages are not needed again: until then they count as memory of this process."""
    if hasattr(mmap, "MADV_DONTNEED"):
        begin -= begin % mmap.PAGESIZE
        text.madvise(mmap.MADV_DONTNEED, begin, end - end % mmap.PAGESIZE - begin)


def _end_of_piece(text: mmap.mmap, begin: int) -> int:
    found = _CUT.search(text, begin + PIECE)
    return found.end() if found else len(text)


def _encode_piece(
    encoder: BpeEncoder, piece: memoryview, begin: int, path: Path, special: bool, errors: Errors
) -> np.ndarray:
    try:
        return encoder.encode(piece, special, errors)
    except ValueError as error:
        try:
            bytes(piece).decode()
        except UnicodeDecodeError as where:
            raise UserError(
                f"{path} is not UTF-8: byte 0x{piece[where.start]:02x} at offset {begin + where.start}; convert it, "
                'or pass errors="replace"'
            ) from error
        raise


def _write_index(path: Path, files: Sequence[Path], sizes: Sequence[int], offsets: np.ndarray, digest: str) -> None:
    index = {
        "format": INDEX_FORMAT,
        "version": VERSION,
        "tokenizer": digest,
        "files": [
            {"name": str(file), "bytes": size, "offset": offset, "ids": n_ids}
            for file, size, offset, n_ids in zip(
                files, sizes, offsets[:-1].tolist(), np.diff(offsets).tolist(), strict=True
            )
        ],
    }
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with beside.open("wb") as written:
            written.write(json.dumps(index, ensure_ascii=False, indent=1).encode("utf-8", "surrogateescape") + b"\n")
            _sync(written)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
