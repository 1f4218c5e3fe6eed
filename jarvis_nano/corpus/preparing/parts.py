"""A unit's part: its kept documents, what identifies duplicates among them, what was dropped, and the counts.

NNNNNN.jsonl.zst kept · .dropped.jsonl.zst · .damaged.jsonl · .index (language and id a line) · .digests.npy (n, 2) ·
.bands.npy (30, n) · .json, the counts: written last, beside and renamed, so that what has it is complete. Of
finishing: .final.jsonl.zst · .duplicates.jsonl.zst
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from jarvis_nano.corpus.documents import Document, PackedLines, as_record
from jarvis_nano.corpus.duplicates.candidates import NO_KEY
from jarvis_nano.corpus.duplicates.signatures import BANDS, band_keys, shingles
from jarvis_nano.corpus.preparing.cleaning import Outcome
from jarvis_nano.corpus.preparing.counts import Counts


class Part:
    """The files of unit `number` in `folder`."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self._stem = folder / f"{number:06d}"

    def _file(self, ending: str) -> Path:
        return self._stem.with_name(self._stem.name + ending)

    @property
    def documents(self) -> Path:
        return self._file(".jsonl.zst")

    @property
    def dropped(self) -> Path:
        return self._file(".dropped.jsonl.zst")

    @property
    def damaged(self) -> Path:
        return self._file(".damaged.jsonl")

    @property
    def final(self) -> Path:
        """The kept documents without the duplicates among all."""
        return self._file(".final.jsonl.zst")

    @property
    def duplicates(self) -> Path:
        """These duplicates."""
        return self._file(".duplicates.jsonl.zst")

    @property
    def bands(self) -> Path:
        return self._file(".bands.npy")

    @property
    def _index(self) -> Path:
        return self._file(".index")

    @property
    def _digests(self) -> Path:
        return self._file(".digests.npy")

    @property
    def _written(self) -> tuple[Path, ...]:
        """What a unit makes, beside the counts."""
        return self.documents, self.dropped, self.damaged, self._index, self._digests, self.bands

    @property
    def is_complete(self) -> bool:
        return self._file(".json").is_file()

    def counts(self) -> Counts:
        return Counts.from_json(json.loads(self._file(".json").read_text(encoding="utf-8")))

    def digests(self) -> np.ndarray:
        """(n, 2) uint64: 128 bits of each kept text."""
        return np.load(self._digests)

    def index(self) -> Iterator[tuple[str, str]]:
        """(language, id) of each kept document."""
        with self._index.open(encoding="utf-8") as file:
            for line in file:
                language, _, identity = line.rstrip("\n").partition("\t")
                yield language, json.loads(identity)

    def lines(self) -> Iterator[bytes]:
        """The kept documents as JSON, a line each, with its line end."""
        with self.documents.open("rb") as file:
            unpacked = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            yield from io.BufferedReader(unpacked, buffer_size=1 << 20)

    def clear(self) -> None:
        """Remove what a kill has left of it; emptying is not enough: who outlived the kill may write on."""
        for written in self._written:
            written.unlink(missing_ok=True)

    def write(self, outcomes: Iterable[Outcome], counts: Counts, *, near: bool, keep_dropped: bool) -> None:
        """All of the part but its damage; `near`: the band keys too. counts grows while the outcomes come.

        Memory: a document, 16 bytes of digest and 240 of keys for each kept one.
        """
        kept, dropped = PackedLines(self.documents), PackedLines(self.dropped)
        digests, bands = bytearray(), bytearray()
        try:
            with self._index.open("w", encoding="utf-8") as index:
                for outcome in outcomes:
                    document = outcome.document
                    if outcome.reason is not None:
                        counts.add_dropped(document, outcome.reason, outcome.n_words, outcome.why)
                        dropped.add(dropped_record(document, outcome.reason, outcome.why, with_text=keep_dropped))
                        continue
                    counts.add_kept(document, outcome.language, outcome.n_words)
                    kept.add(as_record(document))
                    index.write(f"{outcome.language}\t{json.dumps(document.id)}\n")
                    digests += hashlib.blake2b(document.utf8, digest_size=16).digest()
                    if near:
                        bands += _keys(document.text).tobytes()
        finally:
            kept.close()
            dropped.close()
        _save(self._digests, np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2))
        _save(self.bands, np.ascontiguousarray(np.frombuffer(bands, dtype=np.uint64).reshape(-1, BANDS).T))

    def complete(self, counts: Counts) -> None:
        """Say that all of it has been written, after a power cut too."""
        for written in self._written:
            _flush(written)
        beside = self._file(".json.partial")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(counts.as_json(), file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._file(".json"))


def dropped_record(document: Document, reason: str, why: Any, *, with_text: bool) -> dict[str, Any]:
    """A line of what was dropped."""
    record: dict[str, Any] = {"id": document.id, "source": document.source, "reason": reason, **why}
    return {**record, "text": document.text} if with_text else record


def _save(path: Path, array: np.ndarray) -> None:
    """np.save, but a full disk is an OSError that says so: NumPy's own writing of files loses the error's number."""
    packed = io.BytesIO()
    np.save(packed, array)
    path.write_bytes(packed.getbuffer())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keys(text: str) -> np.ndarray:
    found = shingles(text)
    return band_keys(found) if len(found) else np.full(BANDS, NO_KEY, dtype=np.uint64)
