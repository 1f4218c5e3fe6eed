"""A quick language model over ids, to compare tokenizers by bits per byte: interpolated Kneser–Ney, in numpy.

Not for generating text. Memory is about 150 bytes a token learnt from; a million tokens take 0.7 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORDER = 4


@dataclass(frozen=True)
class _Level:
    """The k-grams of one order. A k-gram is its first token and the (k - 1)-gram that follows it."""

    keys: np.ndarray  # (n,) sorted: first token * number of (k - 1)-grams + the (k - 1)-gram
    counts: np.ndarray  # (n,) how often it was seen, or in how many contexts
    totals: np.ndarray  # by context, a (k - 1)-gram: the sum of the counts
    types: np.ndarray  # by context: how many k-grams have a count
    discount: float


class NGram:
    """p(w | h) of Kneser and Ney (1995), interpolated as in Chen and Goodman (1999), section 2.8.

        p_k(w | h) = max(c(h w) - D_k, 0) / c(h ·)  +  D_k N(h ·) / c(h ·)  p_{k-1}(w | h without its first token)

    c is how often h w was seen at the highest order, and below it in how many different tokens' company (N(· h w));
    N(h ·) counts the different w after h; D_k = n_1 / (n_1 + 2 n_2), with n_i the number of k-grams of count i. Under
    the unigrams lies the uniform 1 / vocabulary. Where h was never seen, p_k is p_{k-1}. Every p(· | h) sums to 1.
    """

    def __init__(
        self,
        texts: Sequence[np.ndarray],
        *,
        vocab_size: int,
        order: int = ORDER,
        predicted: Sequence[np.ndarray] | None = None,
        padded: bool = True,
    ) -> None:
        """Learn from texts of ids below vocab_size, each a sequence of its own.

        predicted: for each text, bool (n,), which of its tokens are predicted; the others are context only. Without
        `padded` no marks stand before a text: for rows whose predicted tokens all have order - 1 others before them.
        """
        self.vocab_size, self.order, self._padded = vocab_size, order, padded
        tokens, real = self._joined(texts, predicted)
        grams = tokens  # by place, the id of the (k - 1)-gram that ends there
        n_grams = vocab_size + 1
        context = np.zeros(len(tokens), dtype=np.int64)
        self._levels: list[_Level] = []
        self._n_grams = [1, n_grams]
        tables = []
        for k in range(1, order + 1):
            if k == 1:
                keys, first, ids = np.arange(n_grams), _first_places(tokens, n_grams), tokens
            else:
                keys, first, ids = np.unique(
                    np.roll(tokens, k - 1) * n_grams + grams, return_index=True, return_inverse=True
                )
                context, n_grams, grams = np.roll(grams, 1), len(keys), ids
                self._n_grams.append(n_grams)
            tables.append((keys, context, ids, first))
        for k, (keys, contexts, ids, first) in enumerate(tables, start=1):
            if k == order:
                counts = np.bincount(ids[real], minlength=len(keys))
            else:
                longer, _, longer_ids, _ = tables[k]
                seen = np.bincount(longer_ids[real], minlength=len(longer)) > 0
                counts = np.bincount(longer[seen] % len(keys), minlength=len(keys))
            self._levels.append(_level(keys, counts, contexts[first], self._n_grams[k - 1]))

    def _joined(
        self, texts: Sequence[np.ndarray], predicted: Sequence[np.ndarray] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(all tokens, which are predicted): before each text stand order - 1 marks of its beginning."""
        start = np.full((self.order - 1 or 1) if self._padded else 0, self.vocab_size, dtype=np.int64)
        hidden = np.zeros(len(start), dtype=bool)
        # One mark at the least, so that there is a place to point to where there is no text at all.
        tokens, real = [np.full(max(1, len(start)), self.vocab_size)], [np.zeros(max(1, len(start)), dtype=bool)]
        for number, text in enumerate(texts):
            tokens += [np.asarray(text, dtype=np.int64), start]
            real += [np.ones(len(text), dtype=bool) if predicted is None else predicted[number], hidden]
        return np.concatenate(tokens), np.concatenate(real)

    def bits(self, texts: Sequence[np.ndarray], *, predicted: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """-log2 p of each predicted token of the texts, in their order, given those before it in its text."""
        tokens, real = self._joined(texts, predicted)
        p = np.full(len(tokens), 1.0 / self.vocab_size)
        grams = np.zeros(len(tokens), dtype=np.int64)  # of order k - 1, by place; -1: never seen
        for k, level in enumerate(self._levels, start=1):
            context = np.roll(grams, 1) if k > 1 else grams
            grams = _found(level.keys, np.roll(tokens, k - 1) * self._n_grams[k - 1] + grams, grams >= 0)
            total = np.where(context >= 0, level.totals[context], 0)
            known = total > 0
            count = np.where(grams >= 0, level.counts[grams], 0)
            kept = np.maximum(count - level.discount, 0.0)
            p[known] = (kept[known] + level.discount * level.types[context[known]] * p[known]) / total[known]
        return -np.log2(p[real])


def _first_places(tokens: np.ndarray, n: int) -> np.ndarray:
    """A place of each token; 0, which is a mark, for those that do not occur."""
    places = np.zeros(n, dtype=np.int64)
    places[tokens[::-1]] = np.arange(len(tokens) - 1, -1, -1)
    return places


def _level(keys: np.ndarray, counts: np.ndarray, contexts: np.ndarray, n_contexts: int) -> _Level:
    ones, twos = int((counts == 1).sum()), int((counts == 2).sum())
    # Without twos (a tiny text) the estimate is 1, and what was seen once would not have been seen.
    discount = min(ones / (ones + 2 * twos), 0.95) if ones else 0.5
    seen = counts > 0
    totals = np.bincount(contexts[seen], weights=counts[seen], minlength=n_contexts)
    types = np.bincount(contexts[seen], minlength=n_contexts)
    return _Level(keys, counts, totals, types, discount)


def _found(keys: np.ndarray, wanted: np.ndarray, sought: np.ndarray) -> np.ndarray:
    """The place of each wanted key among the sorted keys; -1 where it is not there or not sought."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(sought & (keys[places] == wanted), places, -1)
