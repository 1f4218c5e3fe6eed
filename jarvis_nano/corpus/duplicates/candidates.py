"""Pairs of documents that may be near duplicates, from their band keys on disk, one band at a time.

Memory: about 30 bytes a document while a band is sorted, and 8 a pair found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jarvis_nano.corpus.duplicates.signatures import BANDS

NO_KEY = 0
"""Stands in every band of a document without shingles, which is never a candidate."""


def exact_duplicates(digests: np.ndarray) -> np.ndarray:
    """For each document the first one with the same digest: itself where there is none before it. (n,) int64.

    digests (n, 2) uint64: 128 bits of a hash of the text.
    """
    order = np.lexsort((np.arange(len(digests)), digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.ones(len(digests), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(digests), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(digests)), 0))]
    return first


def candidate_pairs(
    files: Sequence[Path], considered: np.ndarray, on_band: Callable[[int, int], object] = lambda done, of: None
) -> np.ndarray:
    """(m, 2) int64 pairs i < j of documents that share a band, sorted by j, then i; each once.

    files: .npy of band keys (BANDS, n) uint64, one a part, the documents numbered through them in order. considered
    (n,) bool: the documents to look at. In a group of equal keys every document is paired with the first and with
    the one before it, so that a group of k gives at most 2 k pairs, never k².
    """
    parts = [np.load(file, mmap_mode="r") for file in files]
    found = np.empty(0, dtype=np.uint64)
    for band in range(BANDS):
        keys = np.concatenate([part[band] for part in parts]) if parts else np.empty(0, dtype=np.uint64)
        documents = np.flatnonzero(considered & (keys != NO_KEY))
        found = np.union1d(found, _pairs_of_band(keys[documents], documents))
        on_band(band + 1, BANDS)
    pairs = np.column_stack([found & np.uint64(0xFFFFFFFF), found >> np.uint64(32)]).astype(np.int64)
    return pairs


def _pairs_of_band(keys: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Packed j << 32 | i of the documents with equal keys."""
    order = np.argsort(keys, kind="stable")  # equal keys keep the order of their documents
    same = keys[order[1:]] == keys[order[:-1]]
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    later = np.flatnonzero(same) + 1
    if not len(later):
        return np.empty(0, dtype=np.uint64)
    first = starts[np.searchsorted(starts, later, side="right") - 1]
    numbers = documents[order].astype(np.uint64)
    shifted = numbers[later] << np.uint64(32)
    return np.unique(np.concatenate([shifted | numbers[first], shifted | numbers[later - 1]]))
