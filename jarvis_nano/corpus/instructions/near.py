"""Rows that share most of their 3-word sequences: MinHash in numpy, then their Jaccard index. For a file of rows.

For instruction files, up to a few million rows, held in memory: 4 bytes a sequence (SKETCH of them at most), 80 a row,
and 8 a pair that is looked at. Corpora have corpus/quality/duplicates.py, into which this may be merged one day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

BANDS, ROWS = 20, 4
"""A pair with Jaccard index j is looked at with probability 1 - (1 - j⁴)²⁰: 0.996 for 0.7 (Leskovec et al., 3.4)."""
THRESHOLD = 0.7
SHINGLE = 3
SKETCH = 128
"""The lowest hashes of a row that are kept: its Jaccard index is exact up to so many sequences, beyond it is estimated
with a standard error below 0.05 (bottom-k sketch, Cohen & Kaplan 2007)."""
_BATCH = 1 << 20  # characters hashed at a time
_PAIRS = 1 << 13  # pairs compared at a time
_ODD = np.uint64(0x9E3779B97F4A7C15)


class NearRows:
    """Texts by number, and for each the earliest one that is almost the same."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._size = 0
        self._bands: list[np.ndarray] = []
        self._sketches: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []

    def add(self, text: str) -> None:
        """The next text; the first has the number 0."""
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= _BATCH:
            self._hash_waiting()

    def pairs(
        self, eligible: np.ndarray | None = None, *, only_before: int | None = None
    ) -> Iterator[tuple[int, int, float]]:
        """(number, an earlier number, Jaccard index) for each text that has one with THRESHOLD or more, in order.

        A text is compared with the first and the last before it of each group that shares a band, so that a million
        rows from one mould cost a million comparisons. `eligible`: which texts count at all; `only_before`: the
        earlier one is one of the first so many, eligible or not.
        """
        if self._waiting:
            self._hash_waiting()
        if not self._bands:
            return
        bands = np.concatenate(self._bands)
        self._bands.clear()
        sketches, lengths = np.concatenate(self._sketches), np.concatenate(self._lengths)
        ends = np.cumsum(lengths)
        rows = np.arange(len(bands))
        if eligible is not None:  # rows left out are copies of others, which stand for them
            rows = np.flatnonzero(eligible | (rows < (only_before or 0)))
        later, earlier = (rows[side] for side in _candidates(bands[rows], only_before))
        done = -1
        for begin in range(0, len(later), _PAIRS):
            pair = slice(begin, begin + _PAIRS)
            likeness = _jaccard(sketches, ends - lengths, lengths, later[pair], earlier[pair])
            for at in np.flatnonzero(likeness >= THRESHOLD).tolist():
                if (one := int(later[begin + at])) != done:
                    done = one
                    yield one, int(earlier[begin + at]), float(likeness[at])

    def _hash_waiting(self) -> None:
        hashes, row = _shingles(self._waiting)
        n = len(self._waiting)
        self._bands.append(_band_hashes(hashes, row, n))
        kept, lengths = _lowest(hashes, row, n)
        self._sketches.append(kept)
        self._lengths.append(lengths)
        self._waiting, self._size = [], 0


@cache
def _is_word() -> np.ndarray:
    """Which UTF-16 code units belong to words; halves of pairs do, or an emoji would be nothing."""
    known = [chr(unit).isalnum() for unit in range(1 << 16)]
    known[0xD800:0xE000] = [True] * 0x800
    return np.array(known)


@cache
def _powers() -> np.ndarray:
    return np.cumprod(np.full(64, _ODD | np.uint64(1), dtype=np.uint64), dtype=np.uint64)


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread the bits of 64-bit values (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(hashes (W,), row of each word (W,)) of all words of the texts, case and punctuation left aside."""
    lowered = [text.lower() for text in texts]
    units = np.frombuffer("\n".join(lowered).encode("utf-16-le", "surrogatepass"), dtype=np.uint16)
    inside = np.flatnonzero(_is_word()[units])
    if not len(inside):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    first = np.empty(len(inside), dtype=bool)
    first[0] = True
    np.not_equal(inside[1:], inside[:-1] + 1, out=first[1:])
    starts = np.flatnonzero(first)
    place = np.arange(len(inside)) - np.repeat(starts, np.diff(starts, append=len(inside)))
    terms = (units[inside].astype(np.uint64) + np.uint64(1)) * _powers()[np.minimum(place, 63)]
    lengths = [len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2 for text in lowered]
    borders = np.cumsum(np.array(lengths) + 1)
    return _mix(np.add.reduceat(terms, starts)), np.searchsorted(borders, inside[starts], side="right")


def _shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(hashes (S,) uint32, row of each (S,), in order) of the word sequences; a row of one or two words is one."""
    words, row = _word_hashes(texts)
    n_words = np.bincount(row, minlength=len(texts))
    # Two empty places at each row's end let every word begin a sequence; of these only whole ones are kept.
    padded = np.concatenate([words, np.zeros(2, np.uint64)])
    ends = np.cumsum(n_words)
    left = np.repeat(ends, n_words) - np.arange(len(words))  # words from here to the row's end
    second = np.where(left > 1, padded[1:-1], np.uint64(0))
    third = np.where(left > 2, padded[2:], np.uint64(0))
    mixed = _mix(words + _mix(second + _mix(third + _ODD)))
    is_first = left == np.repeat(n_words, n_words)
    whole = (left >= SHINGLE) | (is_first & (left < SHINGLE))
    return (mixed[whole] >> np.uint64(32)).astype(np.uint32), row[whole]


@cache
def _permutations() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(7)
    n = BANDS * ROWS
    return draw.integers(1, 1 << 32, n, dtype=np.uint32) | np.uint32(1), draw.integers(0, 1 << 32, n, dtype=np.uint32)


def _band_hashes(hashes: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    """(n, BANDS) uint32; rows without a word get hashes of their own, and so no partner."""
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    bands = np.empty((n, BANDS), dtype=np.uint32)
    lonely = np.ones(n, dtype=bool)
    lonely[row] = False
    bands[lonely] = np.arange(lonely.sum(), dtype=np.uint32)[:, None]
    multipliers, offsets = _permutations()
    for band in range(BANDS):
        joined = np.zeros(len(starts), dtype=np.uint64)
        for k in range(band * ROWS, (band + 1) * ROWS):
            # The high half of a 32-bit product depends on all bits below; xor-shifting brings it down.
            permuted = hashes * multipliers[k] + offsets[k]
            permuted ^= permuted >> np.uint32(15)
            joined = _mix(joined + (np.minimum.reduceat(permuted, starts) if len(starts) else 0))
        bands[~lonely, band] = (joined >> np.uint64(32)).astype(np.uint32)
    return bands


def _lowest(hashes: np.ndarray, row: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(the SKETCH lowest different hashes of each row, sorted, one row after the other; how many of each (n,))."""
    keyed = _sorted_once((row.astype(np.uint64) << np.uint64(32)) | hashes)
    row = (keyed >> np.uint64(32)).astype(np.int64)
    counts = np.bincount(row, minlength=n)
    rank = np.arange(len(keyed)) - np.repeat(np.cumsum(counts) - counts, counts)
    return keyed[rank < SKETCH].astype(np.uint32), np.minimum(counts, SKETCH)


def _sorted_once(values: np.ndarray) -> np.ndarray:
    """np.unique, which hashes since numpy 2.3 and takes five times as long."""
    values = np.sort(values)
    return values[np.concatenate([np.ones(min(1, len(values)), dtype=bool), values[1:] != values[:-1]])]


def _jaccard(
    sketches: np.ndarray, starts: np.ndarray, lengths: np.ndarray, one: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """The Jaccard indices (P,) of pairs of rows, from their sketches."""
    n = len(one)
    row = np.concatenate([one, other])
    sizes = lengths[row]
    inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    pair = np.repeat(np.tile(np.arange(n, dtype=np.uint64), 2), sizes)
    keyed = np.sort((pair << np.uint64(32)) | sketches[np.repeat(starts[row], sizes) + inside])
    is_new = np.ones(len(keyed), dtype=bool)
    np.not_equal(keyed[1:], keyed[:-1], out=is_new[1:])
    pair = (keyed >> np.uint64(32)).astype(np.int64)
    union = np.bincount(pair[is_new], minlength=n)
    # Of a row that was cut, the lowest of the union are a fair sample of it.
    cut = (lengths[one] >= SKETCH) | (lengths[other] >= SKETCH)
    limit = np.where(cut, np.minimum(union, SKETCH), union)
    rank = np.cumsum(is_new) - 1 - (np.cumsum(union) - union)[pair]
    shared = np.bincount(pair[~is_new & (rank < limit[pair])], minlength=n)
    return shared / np.maximum(limit, 1)


def _candidates(bands: np.ndarray, only_before: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (later, earlier) of rows that share a band, each once, by the later one, then by the earlier one.

    The earlier one is the first of its group and the one just before, of those below `only_before` if it is given.
    """
    pairs = np.zeros(0, np.uint64)
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        same = band[order[1:]] == band[order[:-1]]
        group = np.concatenate([[0], np.cumsum(~same)])
        first = order[np.flatnonzero(np.diff(group, prepend=-1))][group]
        later = order[1:][same]
        before = order[:-1][same]
        if only_before is not None:  # the last of the group that is below, carried on to those behind it
            below = np.maximum.accumulate(np.where(order < only_before, np.arange(len(order)), 0))
            before = order[below][1:][same]
        keys = later.astype(np.uint64) << np.uint64(32)
        new = [keys | earlier.astype(np.uint64) for earlier in (before, first[1:][same])]
        # Most pairs share several bands: kept once from band to band, they take a tenth of the memory.
        pairs = _sorted_once(np.concatenate([pairs, *new]))
    later, earlier = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    if only_before is None:
        return later, earlier
    kept = (earlier < only_before) & (later >= only_before)
    return later[kept], earlier[kept]
