"""A sample of a corpus of any size, in one pass and bounded memory: what a tokenizer is trained on.

About 1 GB of text is enough to learn merges from; which gigabyte is decided by the hash of the texts alone, so that
the sample is spread over the whole corpus and is the same from a file, a packed file, a pipe, or in another order.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import zstandard

from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.documents import Document, SourceCounts, pieces
from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import Tokenizer, write_files

RECORD = "training.json"
FORMAT = "jarvis_nano-tokenizer-training"
VERSION = 1
DEFAULT_BYTES = 1_000_000_000
PIECE = 8192  # characters: a sample of whole novels would be a handful of novels
BANDS_PER_OCTAVE = 16  # a band holds 4 % of what is kept: the sample has 96 to 100 % of what was asked for
_BLOCK = 1 << 18  # bytes of text packed together
_SALT = b"jn-sample"  # not the hash that holds text out, or the sample would lean on its border


class Sample:
    """The texts of a corpus that a tokenizer is trained on, and how much of the corpus they are.

    n_bytes: of UTF-8, the most to keep; 0 keeps everything and holds nothing. hold_out: leave out the pieces that
    pretraining holds out (corpus/holdout.py). As long as the corpus is no larger than n_bytes its documents come
    whole and in their order; after that it is cut into pieces of at most PIECE characters, and those with the lowest
    hashes are kept.
    """

    def __init__(self, documents: Iterable[Document], *, n_bytes: int = DEFAULT_BYTES, hold_out: bool = False) -> None:
        if n_bytes < 0:
            raise UserError(f"a sample of {n_bytes} bytes; expected a size, or 0 for the whole corpus")
        self._documents, self.asked, self.hold_out = documents, n_bytes, hold_out
        self._read_so_far = SourceCounts()
        self.texts_kept = self.bytes_kept = 0
        self.threshold = 1.0
        """Kept are the pieces whose hash, as a share of the largest, is below it; 1: everything."""

    @property
    def documents_read(self) -> int:
        """Documents of the corpus, those held out among them."""
        return self._read_so_far.documents

    @property
    def bytes_read(self) -> int:
        """Bytes of UTF-8 of these documents."""
        return self._read_so_far.text_bytes

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out for want of room."""
        return self.threshold == 1.0

    @property
    def share(self) -> float:
        """Bytes kept of bytes read; 1 for an empty corpus."""
        return self.bytes_kept / self.bytes_read if self.bytes_read else 1.0

    def texts(self, on_read: Callable[[int], object] | None = None) -> Iterator[str]:
        """Read the corpus, then give the sample. The corpus is read at the first text asked for.

        on_read(bytes of text so far) is told of the reading. Memory: at most n_bytes, packed by zstd (two fifths of
        it for French), a block of at most 256 KiB for each band that is not empty (some 50 MiB), and one document.
        UserError where a text is not UTF-8.
        """
        kept = _Kept(self.asked)
        for text in self._read():
            utf8 = text.encode()
            if on_read is not None:
                on_read(self.bytes_read)
            if self.asked:
                kept.add(text, utf8)
            elif text:
                self._count(len(utf8))
                yield text
        self.threshold = kept.threshold
        for text in kept.texts():
            self._count(len(text.encode()))
            yield text

    def _read(self) -> Iterator[str]:
        if not self.hold_out:
            yield from (document.text for document in self._counted())
            return
        for split, text in holdout.split(self._counted()):
            if split == holdout.TRAIN:
                yield text

    def _counted(self) -> Iterator[Document]:
        for document in self._documents:
            self._read_so_far.add(document, document.utf8)
            yield document

    def _count(self, size: int) -> None:
        self.texts_kept += 1
        self.bytes_kept += size

    def describe(self) -> str:
        """One line: what the tokenizer has seen."""
        read = f"{self.documents_read} documents, {_size(self.bytes_read)}"
        if self.is_whole:
            held_out = " but what validation holds out" if self.hold_out else ""
            return f"trained on all of the corpus{held_out}: {read}"
        kept = f"{self.texts_kept} pieces, {_size(self.bytes_kept)} ({self.share:.1%})"
        return f"trained on a sample of {kept} of {read}, chosen by hash"

    def as_json(self) -> dict[str, object]:
        """What was read and what was kept, for a record."""
        return {
            "documents_read": self.documents_read,
            "bytes_read": self.bytes_read,
            "sample_bytes_asked": self.asked,
            "texts_kept": self.texts_kept,
            "bytes_kept": self.bytes_kept,
            "share": round(self.share, 6),
            "threshold": self.threshold,
            "piece": None if self.is_whole else PIECE,
            "validation_held_out": self.hold_out,
            "sha256": self._read_so_far.sha256,
            "sources": self._read_so_far.as_json(),
        }


class _Kept:
    """Texts packed: in their order while there is room, then by bands of their rank, of which the highest goes."""

    def __init__(self, n_bytes: int) -> None:
        self._room = n_bytes
        self._all: _Packed | None = _Packed()
        self._bands: dict[int, _Packed] = {}
        self._n_bytes = 0
        self._first_band = 0  # the bands below it, of higher ranks, are gone

    @property
    def threshold(self) -> float:
        """The rank from which on nothing is kept."""
        return 2.0 ** (-self._first_band / BANDS_PER_OCTAVE)

    def add(self, text: str, utf8: bytes) -> None:
        if not utf8:
            return
        if self._all is None:
            self._distribute(text)
            return
        self._all.add(utf8)
        self._n_bytes += len(utf8)
        if self._n_bytes > self._room:
            whole, self._all, self._n_bytes = self._all, None, 0
            for kept in whole.take():
                self._distribute(kept)

    def texts(self) -> Iterator[str]:
        if self._all is not None:
            yield from self._all.take()
        for number in sorted(self._bands, reverse=True):
            yield from self._bands[number].take()

    def _distribute(self, text: str) -> None:
        for piece in pieces(text, PIECE):
            utf8 = piece.encode()
            number = _band(utf8)
            alone_and_full = self._n_bytes > self._room and number in self._bands  # one text, again and again
            if number < self._first_band or alone_and_full:
                continue
            self._bands.setdefault(number, _Packed()).add(utf8)
            self._n_bytes += len(utf8)
            # The last band stays: a sample of one text too many is of more use than none.
            while self._n_bytes > self._room and len(self._bands) > 1:
                highest = min(self._bands)
                self._n_bytes -= self._bands.pop(highest).n_bytes
                self._first_band = highest + 1


class _Packed:
    """Texts one after the other, compressed in blocks."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self._blocks: deque[tuple[bytes, list[int]]] = deque()  # packed, with the lengths of its texts
        self._open: list[bytes] = []
        self._open_bytes = 0

    def add(self, utf8: bytes) -> None:
        self.n_bytes += len(utf8)
        self._open.append(utf8)
        self._open_bytes += len(utf8)
        if self._open_bytes >= _BLOCK:
            packed = zstandard.ZstdCompressor(level=1).compress(b"".join(self._open))
            self._blocks.append((packed, [len(one) for one in self._open]))
            self._open, self._open_bytes = [], 0

    def take(self) -> Iterator[str]:
        """The texts, in their order; what has been given is let go."""
        unpacker = zstandard.ZstdDecompressor()
        while self._blocks:
            frame, lengths = self._blocks.popleft()
            block = memoryview(unpacker.decompress(frame))
            begin = 0
            for length in lengths:
                yield str(block[begin : begin + length], "utf-8")
                begin += length
        for utf8 in self._open:
            yield utf8.decode()


def rank(utf8: bytes) -> float:
    """A text's place in (0, 1] by its hash: the sample is what ranks lowest."""
    number = int.from_bytes(hashlib.blake2b(utf8, digest_size=8, person=_SALT).digest(), "little")
    return (number + 1) / 2.0**64


def _band(utf8: bytes) -> int:
    """The band of ranks: band b has those in (2^(-(b + 1) / 16), 2^(-b / 16)]."""
    return int(-math.log2(rank(utf8)) * BANDS_PER_OCTAVE)


def write_record(folder: Path, sample: Sample, tokenizer: Tokenizer, *, pattern: str) -> None:
    """Write training.json beside tokenizer.json: what it was made from, and its hash, so that an old record shows."""
    record = {
        "format": FORMAT,
        "version": VERSION,
        "tokenizer": tokenizer.hash,
        "pattern": pattern,
        "vocab_size": tokenizer.vocab_size,
        "sample": sample.as_json(),
    }
    write_files(folder, {RECORD: (json.dumps(record, ensure_ascii=False, indent=2) + "\n").encode()})


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
