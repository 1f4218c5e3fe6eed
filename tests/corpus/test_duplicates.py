"""Near duplicates: planted ones are found, others are left, and each step agrees with a slow, obvious one."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jarvis_nano.corpus.duplicates.candidates import NO_KEY, candidate_pairs, exact_duplicates
from jarvis_nano.corpus.duplicates.clusters import THRESHOLD, ShingleStore, verified_duplicates
from jarvis_nano.corpus.duplicates.signatures import BANDS, WORDS, band_keys, jaccard, shingles

VOCABULARY = [f"mot{i}" for i in range(4000)]


def random_text(rng: random.Random, n_words: int) -> str:
    return " ".join(rng.choices(VOCABULARY, k=n_words))


def with_words_replaced(rng: random.Random, text: str, share: float) -> str:
    words = text.split()
    for at in rng.sample(range(len(words)), round(share * len(words))):
        words[at] = rng.choice(VOCABULARY)
    return " ".join(words)


def key_file(folder: Path, name: str, texts: list[str]) -> Path:
    sets = [shingles(text) for text in texts]
    keys = [band_keys(one) if len(one) else np.full(BANDS, NO_KEY, dtype=np.uint64) for one in sets]
    np.save(folder / name, np.array(keys, dtype=np.uint64).T)
    return folder / name


def find(folder: Path, texts: list[str], *, n_parts: int = 3) -> np.ndarray:
    """All the steps, on texts in several parts."""
    cuts = [len(texts) * i // n_parts for i in range(n_parts + 1)]
    files = [key_file(folder, f"{i}.npy", texts[cuts[i] : cuts[i + 1]]) for i in range(n_parts)]
    pairs = candidate_pairs(files, np.ones(len(texts), dtype=bool))
    documents = np.unique(pairs)
    store = ShingleStore(folder / "shingles", documents, (shingles(texts[i]) for i in documents))
    return verified_duplicates(pairs, store, len(texts))


def test_planted_near_duplicates_are_found_and_nothing_else(tmp_path: Path) -> None:
    rng = random.Random(7)
    originals = [random_text(rng, rng.randint(60, 500)) for _ in range(400)]
    copies = [with_words_replaced(rng, text, 0.05) for text in originals[:200]]
    stands_for = find(tmp_path, originals + copies)
    gone = {i: int(kept) for i, kept in enumerate(stands_for) if kept != i}
    right = sum(gone.get(400 + i) == i for i in range(200))
    assert right / 200 >= 0.95
    assert right / len(gone) >= 0.99


def test_planted_duplicates_in_real_french(tmp_path: Path, shared_data: Path) -> None:
    rng = random.Random(8)
    words = (shared_data / "corpus_fr/eltec_FRA03704_Sand.txt").read_text(encoding="utf-8").split()
    originals = [" ".join(words[at : at + 150]) for at in range(0, 60_000, 150)]
    vocabulary = sorted(set(words))

    def copy(text: str) -> str:
        copied = text.split()
        for at in rng.sample(range(len(copied)), round(0.05 * len(copied))):
            copied[at] = rng.choice(vocabulary)
        return " ".join(copied)

    stands_for = find(tmp_path, originals + [copy(text) for text in originals])
    gone = np.flatnonzero(stands_for != np.arange(len(stands_for)))
    n = len(originals)
    right = sum(int(stands_for[n + i]) == i for i in range(n))
    assert right / n >= 0.95
    assert right / len(gone) >= 0.99


def test_what_goes_is_like_what_stays(tmp_path: Path) -> None:
    rng = random.Random(9)
    chain = [random_text(rng, 200)]
    for _ in range(30):  # each is like the one before it, the last has nothing of the first
        chain.append(with_words_replaced(rng, chain[-1], 0.05))
    stands_for = find(tmp_path, chain)
    for i, kept in enumerate(stands_for.tolist()):
        assert stands_for[kept] == kept
        assert kept == i or jaccard(shingles(chain[kept]), shingles(chain[i])) >= THRESHOLD
    assert 1 < len(set(stands_for.tolist())) < len(chain)


def test_the_number_of_parts_changes_nothing(tmp_path: Path) -> None:
    rng = random.Random(10)
    texts = [random_text(rng, 80) for _ in range(60)]
    texts += [with_words_replaced(rng, text, 0.03) for text in texts[:30]]
    found = [find(tmp_path, texts, n_parts=n) for n in (1, 2, 7)]
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert (found[0] != np.arange(90)).sum() >= 29


@given(st.text(alphabet="abé œ'’-.,\n1", max_size=80), st.text(alphabet="abé œ'’-.,\n1", max_size=80))
def test_jaccard_is_that_of_the_sets(a: str, b: str) -> None:
    def slow(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1)}

    one, other = slow(a), slow(b)
    expected = len(one & other) / len(one | other) if one | other else 0.0
    assert len(shingles(a)) == len(one)
    assert jaccard(shingles(a), shingles(b)) == pytest.approx(expected)


def test_order_of_words_counts_and_punctuation_does_not() -> None:
    assert jaccard(shingles("Le chat dort ici, dit-il."), shingles("le CHAT dort ; ici dit il")) == 1.0
    assert jaccard(shingles("un deux trois quatre"), shingles("quatre trois deux un")) == 0.0


def test_the_share_of_equal_bands_is_what_theory_says() -> None:
    rng = random.Random(11)
    probabilities, equal = [], []
    for _ in range(150):
        text = random_text(rng, 300)
        one, other = shingles(text), shingles(with_words_replaced(rng, text, 0.06))
        probabilities.append(jaccard(one, other) ** 6)
        equal.append(np.mean(band_keys(one) == band_keys(other)))
    assert np.mean(equal) == pytest.approx(np.mean(probabilities), abs=0.02)


def test_long_texts_have_the_keys_of_their_set(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shingles(random_text(random.Random(12), 5000))
    whole = band_keys(found)
    monkeypatch.setattr("jarvis_nano.corpus.duplicates.signatures._COLUMNS", 7)
    assert (band_keys(found) == whole).all()


def test_short_texts_are_no_candidates(tmp_path: Path) -> None:
    assert find(tmp_path, ["", "un", "un deux", "un", "un deux trois", "un deux trois"]).tolist() == [0, 1, 2, 3, 4, 4]


def test_a_thousand_equal_keys_give_no_million_pairs(tmp_path: Path) -> None:
    files = [key_file(tmp_path, "a.npy", ["toujours le même texte, encore et encore"] * 1000)]
    pairs = candidate_pairs(files, np.ones(1000, dtype=bool))
    assert len(pairs) == 1997
    assert (pairs[:, 0] < pairs[:, 1]).all()


def test_a_document_that_is_not_considered_is_in_no_pair(tmp_path: Path) -> None:
    files = [key_file(tmp_path, "a.npy", ["toujours le même texte"] * 4)]
    assert candidate_pairs(files, np.array([True, False, True, False])).tolist() == [[0, 2]]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_exact_duplicates_point_to_the_first(values: list[int]) -> None:
    digests = np.array([[value // 2, value % 2] for value in values], dtype=np.uint64).reshape(-1, 2)
    assert exact_duplicates(digests).tolist() == [values.index(value) for value in values]
