"""The n-gram model: probabilities that sum to 1, and those of a slow reference written as in the paper."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.tokenizer_lab.ngram import NGram

TEXT = (
    "L'eau coule sous le pont, et l'enfant regarde l'eau qui coule. Le pont est vieux ; l'enfant est jeune. "
    "« Où vas-tu ? » dit le pont à l'eau. L'eau ne dit rien : elle coule, elle coule encore."
)


class SlowKneserNey:
    """p(w | h) by dictionaries, one formula a line."""

    def __init__(self, texts: list[list[int]], vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        grams: list[Counter] = [Counter() for _ in range(order + 1)]  # by length, those that end in a real token
        for text in texts:
            padded = [vocab_size] * (order - 1) + text
            for end in range(order - 1, len(padded)):
                for k in range(1, order + 1):
                    grams[k][tuple(padded[end - k + 1 : end + 1])] += 1
        self.counts: list[Counter] = [Counter() for _ in range(order + 1)]
        self.counts[order] = grams[order]
        for k in range(1, order):
            for gram in grams[k + 1]:
                self.counts[k][gram[1:]] += 1
        self.follow: list[dict] = [defaultdict(list) for _ in range(order + 1)]
        for k in range(1, order + 1):
            for gram, count in self.counts[k].items():
                self.follow[k][gram[:-1]].append(count)

    def p(self, word: int, history: tuple[int, ...], k: int | None = None) -> float:
        k = self.order if k is None else k
        if k == 0:
            return 1 / self.vocab_size
        history = history[len(history) - (k - 1) :]
        lower = self.p(word, history[1:], k - 1)
        counts = self.follow[k].get(history)
        if not counts:
            return lower
        ones = sum(count == 1 for count in self.counts[k].values())
        twos = sum(count == 2 for count in self.counts[k].values())
        discount = min(ones / (ones + 2 * twos), 0.95) if ones else 0.5
        seen = max(self.counts[k].get((*history, word), 0) - discount, 0)
        return (seen + discount * len(counts) * lower) / sum(counts)


def arrays(texts: list[list[int]]) -> list[np.ndarray]:
    return [np.array(text, dtype=np.int64) for text in texts]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_it_is_the_slow_reference_on_bytes(order: int) -> None:
    learn = [list(part.encode()) for part in TEXT.split(". ")]
    measure = [list(part.encode()) for part in ("L'eau dort.", "", "Le vieux pont coule", "zzz 日")]
    slow = SlowKneserNey(learn, 256, order)
    want = []
    for text in measure:
        padded = (256,) * (order - 1) + tuple(text)
        want += [-np.log2(slow.p(padded[i], padded[:i])) for i in range(order - 1, len(padded))]
    fast = NGram(arrays(learn), vocab_size=256, order=order)
    np.testing.assert_allclose(fast.bits(arrays(measure)), want, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=6),
    st.lists(st.integers(0, 4), max_size=5),
    st.integers(1, 4),
)
def test_the_probabilities_of_what_may_follow_sum_to_one(learn, history, order) -> None:
    model = NGram(arrays(learn), vocab_size=5, order=order)
    bits = [model.bits(arrays([[*history, word]]))[-1] for word in range(5)]
    assert sum(2.0**-b for b in bits) == pytest.approx(1, abs=1e-12)


def test_what_was_seen_is_cheaper_and_nothing_is_impossible() -> None:
    model = NGram(arrays([list(TEXT.encode())]), vocab_size=256)
    seen, unseen = (model.bits(arrays([list(t.encode())])).mean() for t in ("l'enfant regarde", "xqzw0912@@@@"))
    assert seen < 2 < unseen < 20


def test_only_the_predicted_are_counted_and_learnt() -> None:
    rows = arrays([[0, 1, 2], [0, 1, 2], [0, 1, 3], [1, 1, 0]])
    last = [np.array([False, False, True])] * 4
    for padded in (True, False):
        model = NGram(rows, vocab_size=4, order=3, predicted=last, padded=padded)
        bits = model.bits(rows, predicted=last)
        assert len(bits) == 4
        assert bits[0] == bits[1] < bits[2]


def test_it_learns_from_nothing_without_falling_over() -> None:
    model = NGram([np.zeros(0, dtype=np.int64)], vocab_size=8)
    assert model.bits(arrays([[1, 2, 3]])).tolist() == [3.0, 3.0, 3.0]
