"""A tokenizer of bytes: exact, quick, and independent of the one that is shipped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from jarvis_nano.corpus.documents import Document

END_ID = 3


class ByteTokenizer:
    """Byte b is the id b + 8; the first 8 ids are special, as in a trained tokenizer."""

    hash = hashlib.sha256(b"bytes").hexdigest()

    def __init__(self, vocab_size: int = 264) -> None:
        self.vocab_size = vocab_size

    def special_id(self, text: str) -> int:
        assert text == "</s>"
        return END_ID

    def encode_batch(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        parts = [np.frombuffer(text, np.uint8).astype(np.uint16) + 8 for text in texts]
        return np.concatenate(parts), np.cumsum([0, *map(len, parts)])


def decoded(ids: np.ndarray) -> list[str]:
    """The documents of a stream of a ByteTokenizer."""
    assert ids[-1] == END_ID
    ends = np.flatnonzero(ids == END_ID)
    starts = [0, *(ends[:-1] + 1)]
    return [bytes((ids[a:b] - 8).astype(np.uint8)).decode() for a, b in zip(starts, ends, strict=True)]


def stories(n: int, seed: int = 0) -> list[Document]:
    """Short texts, no two the same."""
    rng = np.random.default_rng(seed)
    words = ["la", "forêt", "était", "calme", "œuvre", "« Oui »", "l'été", "où", "ça", "très"]
    return [
        Document(f"s{seed}-{i}", f"Conte {i}. " + " ".join(rng.choice(words, rng.integers(5, 60))), "stories")
        for i in range(n)
    ]
