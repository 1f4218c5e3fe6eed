"""Ids that are unique in a corpus, whatever its inputs call theirs: two folders have an a.txt, two crawls an id 1."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


class Identities:
    """Of documents numbered from 0: the first that bears an id keeps it, the second is called id~2, and so on.

    Memory: 24 bytes a document, for ids are held as 64 bits of a hash; two different ones of equal hash, of which
    there is one pair in a million corpora of ten million documents, are told apart by a needless ~2.
    """

    def __init__(self, identities: Iterable[str]) -> None:
        hashes = np.fromiter(map(_hash, identities), dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")  # equal ids stay in the order of their documents
        self._sorted = hashes[order]
        places = np.arange(len(order), dtype=np.int64)
        starts = np.ones(len(order), dtype=bool)
        starts[1:] = self._sorted[1:] != self._sorted[:-1]
        self._earlier = np.empty(len(order), dtype=np.int64)
        self._earlier[order] = places - np.maximum.accumulate(np.where(starts, places, 0))

    def repeated(self, begin: int, end: int) -> list[int]:
        """The documents in [begin, end) of which the id was borne by one before them."""
        return (np.flatnonzero(self._earlier[begin:end]) + begin).tolist()

    def of(self, document: int, identity: str) -> str:
        """What the document that came as `identity` is called."""
        if not self._earlier[document]:
            return identity
        name = f"{identity}~{self._earlier[document] + 1}"
        while self._is_taken(name):
            name += "~"
        return name

    def _is_taken(self, identity: str) -> bool:
        wanted = _hash(identity)
        at = int(np.searchsorted(self._sorted, np.uint64(wanted)))
        return at < len(self._sorted) and int(self._sorted[at]) == wanted


def _hash(identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "little")
