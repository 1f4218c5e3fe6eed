"""How much of a text repeats itself: the n-gram figures of Gopher (Rae et al. 2021, table A1), as datatrove has them.

Exact and yet fast: an n-gram can only occur twice where its first n - 1 words do, so each length looks only at the
places that the length before left over, and in prose few are left after three words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Repeats:
    """Places in a text (word indices, rising) where an n-gram begins that occurs at least twice.

    `groups[i]` is the same number for the same n-gram; numbers are 0 … n_groups - 1.
    """

    places: Ints
    groups: Ints
    n_groups: int

    def longer(self, n_words: int, n: int) -> Repeats:
        """From (n - 1)-grams to n-grams: two n-grams are equal if both their first and their last n - 1 words are."""
        if not self.n_groups:
            return NONE
        group_at = np.full(n_words + 1, -1, np.int64)
        group_at[self.places] = self.groups
        begin = self.places[self.places + n <= n_words]
        following = group_at[begin + 1]  # the (n - 1)-gram one word on, -1 if it occurs once only
        begin, following = begin[following >= 0], following[following >= 0]
        return repeated(begin, group_at[begin] * self.n_groups + following)


NONE = Repeats(np.empty(0, np.int64), np.empty(0, np.int64), 0)


def repeated(places: Ints, keys: Ints) -> Repeats:
    """Those of `places` (rising) whose key occurs at least twice, their keys numbered anew."""
    if len(keys) < 2:
        return NONE
    order = np.argsort(keys)
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]  # as the neighbour before
    if not same.any():
        return NONE
    kept = np.zeros(len(keys), np.bool_)
    kept[1:] = same
    begins = ~kept
    kept[:-1] |= same
    groups = np.empty(len(keys), np.int64)
    groups[order] = np.cumsum(begins & kept) - 1
    at = np.flatnonzero(_scattered(kept, order))
    found = groups[at]
    return Repeats(places[at], found, int(found.max()) + 1)


def _scattered(values: NDArray[np.bool_], order: Ints) -> NDArray[np.bool_]:
    back = np.empty_like(values)
    back[order] = values
    return back


def repeated_words(numbers: Ints) -> Repeats:
    """The words that occur at least twice, from their numbers 0, 1, …; `groups` are those numbers."""
    counts = np.bincount(numbers)
    places = np.flatnonzero(counts[numbers] > 1)
    return Repeats(places, numbers[places], len(counts)) if len(places) else NONE


def number_words(words: Sequence[str]) -> tuple[dict[str, int], Ints]:
    """The distinct words with their numbers 0, 1, … as they appear, and the number of each word of the text."""
    distinct = dict.fromkeys(words)
    number_of = dict(zip(distinct, range(len(distinct)), strict=True))
    return number_of, np.fromiter(map(number_of.__getitem__, words), np.int64, len(words))


def top_share(words: Sequence[str], repeats: Repeats, n: int, n_chars: int) -> float:
    """Characters of the most frequent n-gram, words joined by spaces, times how often it occurs, per character.

    Of several that are as frequent the first in the text counts, so without repeats it is the text's first n words.
    """
    if len(words) < n:
        return 0.0
    start, times = 0, 1
    if repeats.n_groups:
        counts = np.bincount(repeats.groups)
        times = int(counts.max())
        start = int(repeats.places[np.argmax(counts[repeats.groups] == times)])
    return len(" ".join(words[start : start + n])) * times / n_chars


def duplicate_share(lengths: Ints, repeats: Repeats, n: int, n_chars: int) -> float:
    """Characters of n-grams that were seen before, per character: read from left to right, a duplicate is skipped
    whole, so that no character counts twice, and what overlaps it is not remembered. Spaces do not count."""
    if not repeats.n_groups:
        return 0.0
    ends = np.concatenate([[0], np.cumsum(lengths)])
    sizes = (ends[repeats.places + n] - ends[repeats.places]).tolist()
    seen = bytearray(repeats.n_groups)
    chars = next_place = 0
    for place, group, size in zip(repeats.places.tolist(), repeats.groups.tolist(), sizes, strict=True):
        if place < next_place:
            continue
        if seen[group]:
            chars += size
            next_place = place + n
        else:
            seen[group] = 1
    return chars / n_chars
