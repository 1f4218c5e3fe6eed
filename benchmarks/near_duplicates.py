"""Recall and precision of near duplicates on French books, by the length of the documents, and the speed of the parts.

    python benchmarks/near_duplicates.py ../shared/data/corpus_fr [--share 0.05] [--out figures.json]

The books are cut into documents; each gets a copy in which a share of the words, at random places, are other words of
the books. Found is a copy that goes in favour of its original; anything else that goes is a false alarm.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jarvis_nano.corpus.duplicates.candidates import candidate_pairs
from jarvis_nano.corpus.duplicates.clusters import ShingleStore, verified_duplicates
from jarvis_nano.corpus.duplicates.signatures import band_keys, shingles
from jarvis_nano.corpus.sources import read_documents

LENGTHS = ((20, 60), (60, 100), (100, 1000))  # words
AT_MOST = 8000  # documents of a length


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("books", type=Path, nargs="+")
    parser.add_argument("--share", type=float, default=0.05, help="of the words that are replaced")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    asked = parser.parse_args()
    words = [document.text.split() for document in read_documents(asked.books)]
    vocabulary = sorted({word for book in words for word in book})
    figures = [measure(words, vocabulary, low, high, asked.share) for low, high in LENGTHS]
    print(json.dumps(figures, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(
    books: list[list[str]], vocabulary: list[str], low: int, high: int, share: float
) -> dict[str, float | int | str]:
    rng = random.Random(low)
    originals = list(cut(books, low, high, rng))
    originals = rng.sample(originals, min(AT_MOST, len(originals)))
    copies = [changed(text, vocabulary, share, rng) for text in originals]
    texts = originals + copies
    started = time.process_time()
    sets = [shingles(text) for text in texts]
    hashed = time.process_time()
    keys = np.array([band_keys(one) for one in sets]).T
    keyed = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "bands.npy", keys)
        pairs = candidate_pairs([Path(folder) / "bands.npy"], np.ones(len(texts), dtype=bool))
        documents = np.unique(pairs)
        store = ShingleStore(Path(folder) / "shingles", documents, (sets[i] for i in documents))
        stands_for = verified_duplicates(pairs, store, len(texts))
    n, gone = len(originals), np.flatnonzero(stands_for != np.arange(len(texts)))
    found = int((stands_for[n:] == np.arange(n)).sum())
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    return {
        "words": f"{low} to {high}",
        "documents": n,
        "share_replaced": share,
        "recall": round(found / n, 4),
        "precision": round(found / max(1, len(gone)), 4),
        "candidates": len(pairs),
        "shingles_mb_per_s": round(megabytes / (hashed - started), 1),
        "keys_mb_per_s": round(megabytes / (keyed - hashed), 1),
    }


def cut(books: list[list[str]], low: int, high: int, rng: random.Random) -> Iterator[str]:
    for words in books:
        at = 0
        while at + low < len(words):
            n = rng.randint(low, high)
            yield " ".join(words[at : at + n])
            at += n


def changed(text: str, vocabulary: list[str], share: float, rng: random.Random) -> str:
    words = text.split(" ")
    for at in rng.sample(range(len(words)), round(share * len(words))):
        words[at] = rng.choice(vocabulary)
    return " ".join(words)


if __name__ == "__main__":
    main()
