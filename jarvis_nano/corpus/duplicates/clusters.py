"""From candidates to verdicts: a document goes only when it is verified to be like one that stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from jarvis_nano.corpus.duplicates.signatures import jaccard

THRESHOLD = 0.6
"""Jaccard of 3-word shingles from which two documents count as one: about 9 % of the words replaced here and there."""


class ShingleStore:
    """The shingles of the candidates in one file of their own, memory-mapped: they need not fit into memory."""

    def __init__(self, path: Path, documents: np.ndarray, sets: Iterable[np.ndarray]) -> None:
        """documents (n,) int64, sorted; sets: theirs, in that order."""
        sizes = []
        with path.open("wb") as file:
            for shingle_set in sets:
                sizes.append(len(shingle_set))
                file.write(shingle_set.tobytes())
        if len(sizes) != len(documents):
            raise ValueError(f"{len(sizes)} sets for {len(documents)} documents")
        self._documents = documents
        self._offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        empty = not self._offsets[-1]
        self._data = np.empty(0, dtype=np.uint32) if empty else np.memmap(path, dtype=np.uint32, mode="r")

    def __getitem__(self, document: int) -> np.ndarray:
        at = int(np.searchsorted(self._documents, document))
        return self._data[self._offsets[at] : self._offsets[at + 1]]


def verified_duplicates(
    pairs: np.ndarray,
    store: ShingleStore,
    n_documents: int,
    *,
    threshold: float = THRESHOLD,
    on_pair: Callable[[int, int], object] = lambda done, of: None,
) -> np.ndarray:
    """For each document the one that stands for it: itself where it stays. (n,) int64.

    pairs: as candidate_pairs gives them, sorted by the later document. The earlier document stays. Where the earlier
    one of a pair has gone itself, the one that stands for it is compared: whatever goes has a Jaccard of at least
    `threshold` with what stays in its place, and chains of small differences do not carry a text away.
    """
    stands_for = np.arange(n_documents, dtype=np.int64)
    compared: set[int] = set()  # with the document at hand
    at_hand = -1
    for done, (earlier, later) in enumerate(pairs.tolist()):
        if later != at_hand:
            at_hand = later
            compared.clear()
        if stands_for[later] != later:
            continue
        kept = int(stands_for[earlier])
        if kept not in compared:
            compared.add(kept)
            if _alike(store[kept], store[later], threshold):
                stands_for[later] = kept
        if done % 1000 == 0:
            on_pair(done, len(pairs))
    return stands_for


def _alike(a: np.ndarray, b: np.ndarray, threshold: float) -> bool:
    if min(len(a), len(b)) < threshold * max(len(a), len(b)):  # J is at most the smaller over the larger
        return False
    return jaccard(a, b) >= threshold
