"""Which text is held out for validation: by hash of the text alone, in one pass, whatever the order of the documents.

A document longer than a piece is cut at paragraph ends first, or the split of twenty novels would be a lottery.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from jarvis_nano.corpus.documents import Document, pieces

TRAIN, VALIDATION = "train", "val"
SPLITS = (TRAIN, VALIDATION)
FRACTION = 0.01
MAX_BYTES = 1 << 20  # a mebibyte of text gives bits per byte to about 0.005; more only costs time
AT_LEAST = 8  # pieces, while that is no more than a tenth of them
PIECE = 8192  # characters: 12 MB of novels give 1,500 pieces, of which 15 are held out


def rank(text: str, utf8: bytes | None = None) -> float:
    """The text's place in [0, 1), by its hash; blank lines at its ends do not count. utf8: the text's, if at hand."""
    stripped = text.strip()
    if utf8 is None or len(stripped) != len(text):
        utf8 = stripped.encode()
    return int.from_bytes(hashlib.blake2b(utf8, digest_size=8).digest(), "little") / 2.0**64


def split(
    documents: Iterable[Document], *, fraction: float = FRACTION, max_bytes: int = MAX_BYTES, piece: int = PIECE
) -> Iterator[tuple[str, str]]:
    """Yield (split, text) for all of the documents' text, "train" as it comes and "val" at the end.

    Held out are the pieces whose rank is below `fraction`: of these the lowest ranks up to `max_bytes` of UTF-8, and
    never fewer than AT_LEAST pieces or a tenth of all, whichever is less (one of two or more); none for a fraction of
    0. Equal texts fall on the same side. Neighbouring pieces of a document that stay in training are joined again.
    Memory: the documents in hand and `max_bytes`. The "val" texts come by rank, so that any first part of them is a
    fair sample.
    """
    splitter = Splitter(fraction=fraction, max_bytes=max_bytes, piece=piece)
    for document in documents:
        for text in splitter.add(document.text):
            yield TRAIN, text
    yield from splitter.finish()


class Splitter:
    """split() document by document, with a state that can be kept and gone on from."""

    def __init__(self, *, fraction: float = FRACTION, max_bytes: int = MAX_BYTES, piece: int = PIECE) -> None:
        self._pool = _Pool(fraction, max_bytes)
        self._piece = piece

    def add(self, text: str, utf8: bytes | None = None) -> list[str]:
        """What goes to training now that this document is there; utf8: the text's, if it is at hand.

        The text itself, the same object, where all of it does and it has no new lines at its ends.
        """
        if len(text) <= self._piece:
            displaced = self._pool.offer(text, utf8)
            return _stripped([text] if displaced is None else displaced)
        trained: list[str] = []
        run: list[str] = []
        for piece in pieces(text, self._piece):
            released = self._pool.offer(piece)
            if released is None:
                run.append(piece)
                continue
            trained += ["".join(run), *released]
            run.clear()
        # Without a gap the pieces need no joining.
        trained.append("".join(run) if trained else text)
        return _stripped(trained)

    def finish(self) -> Iterator[tuple[str, str]]:
        """(split, text) for what is left when all documents are there."""
        for text in _stripped(self._pool.release_surplus()):
            yield TRAIN, text
        for one in self._pool.texts():
            yield VALIDATION, one.strip("\n")

    def state(self) -> dict[str, Any]:
        """What the documents so far have left behind, for JSON; as large as the validation text."""
        return self._pool.state()

    def go_on(self, state: dict[str, Any]) -> None:
        """Go on from state()."""
        self._pool.go_on(state)


def _stripped(texts: list[str]) -> list[str]:
    return [stripped for text in texts if (stripped := text.strip("\n"))]


class _Pool:
    """The pieces with the lowest ranks so far: a heap with the highest on top. Equal texts come and go together."""

    def __init__(self, fraction: float, max_bytes: int) -> None:
        self.fraction, self.max_bytes = fraction, max_bytes
        self.ceiling = 1.0  # nothing from here on is taken: set when bytes ran out
        self.offered = 0
        self._bytes = 0
        self._heap: list[tuple[float, int, str]] = []  # (-rank, arrival, text)
        self._copies: Counter[float] = Counter()  # by rank

    def offer(self, text: str, utf8: bytes | None = None) -> list[str] | None:
        """None where the piece stays in training; otherwise it is taken, and what it displaces is returned."""
        if self.fraction <= 0 or not text or text.isspace():
            return None
        self.offered += 1
        place = rank(text, utf8)
        wanted = place < self.fraction or len(self._heap) < AT_LEAST or place <= self._highest
        if place >= self.ceiling or not wanted:
            return None
        heapq.heappush(self._heap, (-place, self.offered, text))
        self._copies[place] += 1
        self._bytes += len(text.encode())
        return self._displaced()

    def _displaced(self) -> list[str]:
        released: list[str] = []
        while self._highest >= self.fraction and len(self._heap) - self._copies[self._highest] >= AT_LEAST:
            released += self._release_highest()
        while self._bytes > self.max_bytes and len(self._heap) > 1:
            self.ceiling = self._highest
            released += self._release_highest()
        return released

    def release_surplus(self) -> list[str]:
        """At the end: what only AT_LEAST kept, beyond a tenth of all pieces."""
        floor = min(AT_LEAST, max(self.offered // 10, 1 if self.offered > 1 else 0))
        released: list[str] = []
        while len(self._heap) > floor and self._highest >= self.fraction:
            released += self._release_highest()
        return released

    def texts(self) -> list[str]:
        """What is held out, by rank."""
        return [text for _, _, text in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]

    def state(self) -> dict[str, Any]:
        return {"offered": self.offered, "ceiling": self.ceiling, "texts": self._heap}

    def go_on(self, state: dict[str, Any]) -> None:
        self.offered, self.ceiling = state["offered"], state["ceiling"]
        self._heap = [(minus_rank, arrival, text) for minus_rank, arrival, text in state["texts"]]
        self._bytes = sum(len(text.encode()) for _, _, text in self._heap)
        self._copies = Counter(-minus_rank for minus_rank, _, _ in self._heap)

    @property
    def _highest(self) -> float:
        return -self._heap[0][0] if self._heap else -1.0

    def _release_highest(self) -> list[str]:
        """Take out the texts of the highest rank."""
        copies = self._copies.pop(self._highest)
        released = [heapq.heappop(self._heap)[2] for _ in range(copies)]
        self._bytes -= sum(len(text.encode()) for text in released)
        return released
