"""A document's shingles and its band keys: what near duplicates have in common. Nothing here knows other documents."""

from __future__ import annotations

import re
import zlib

import numpy as np

WORDS = 3
"""Words in a shingle. With 5 % of its words replaced a document keeps .95³ = 86 % of its shingles, a Jaccard of .75;
with the usual 5 words it is .63, and the bands that find it find too many others."""
BANDS, ROWS = 30, 6
"""Two documents of Jaccard J are candidates with probability 1 - (1 - J^ROWS)^BANDS: .5 at .52, .99 at .72."""

_WORD = re.compile(r"\w+")
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)
_COLUMNS = 2048  # shingles at a time: 180 rows of them are 1.5 MB, which stays in the cache
_MAX_WORDS_HELD = 200_000  # about 30 MB a process


def _constants(seed: int, n: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 1 << 32, n, dtype=np.uint32)


# h(x) = a x + b mod 2^32, a odd: a bijection of the 32-bit numbers, so its least value is that of a random shingle.
_FACTORS = (_constants(20261201, BANDS * ROWS) | np.uint32(1))[:, None]
_ADDENDS = _constants(20261202, BANDS * ROWS)[:, None]
_BAND_FACTORS = (np.random.Generator(np.random.PCG64(20261203)).integers(0, 1 << 63, ROWS, dtype=np.uint64) << 1) | 1


class _WordHashes(dict[str, int]):
    """CRC-32 of words in lower case, kept: Python's own hash() differs from process to process."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MAX_WORDS_HELD:
            self.clear()
        found = self[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return found


_word_hashes = _WordHashes()


def shingles(text: str) -> np.ndarray:
    """The set of the text's shingles, WORDS words in lower case each, as sorted 32-bit hashes (n,) uint32.

    Punctuation and white space do not count. Empty for a text of fewer than WORDS words.
    """
    words = _WORD.findall(text.lower())
    hashes = np.fromiter(map(_word_hashes.__getitem__, words), dtype=np.uint64, count=len(words))
    n = len(hashes) - WORDS + 1
    if n <= 0:
        return np.empty(0, dtype=np.uint32)
    mixed = hashes[:n] * _MULTIPLIERS[0]
    for at in range(1, WORDS):
        mixed = _mix(mixed ^ (hashes[at : n + at] * _MULTIPLIERS[at]))
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def band_keys(shingle_set: np.ndarray) -> np.ndarray:
    """(BANDS,) uint64: two sets with an equal key in any band are candidates. Cost: 180 hashes a shingle.

    Memory: 1.5 MB beside the set. ValueError on an empty set, which has no signature.
    """
    if not len(shingle_set):
        raise ValueError("an empty set of shingles has no signature")
    least = np.full(BANDS * ROWS, 0xFFFFFFFF, dtype=np.uint32)
    for begin in range(0, len(shingle_set), _COLUMNS):
        hashed = shingle_set[begin : begin + _COLUMNS] * _FACTORS
        hashed += _ADDENDS
        np.minimum(least, hashed.min(axis=1), out=least)
    rows = least.reshape(BANDS, ROWS).astype(np.uint64)
    return _mix((_mix(rows) * _BAND_FACTORS).sum(axis=1, dtype=np.uint64))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|a ∩ b| / |a ∪ b| of two sets as `shingles` gives them; 0 where both are empty."""
    if len(a) > len(b):
        a, b = b, a
    if not len(a):
        return 0.0
    at = np.searchsorted(b, a)
    common = int(np.count_nonzero(b[np.minimum(at, len(b) - 1)] == a))
    return common / (len(a) + len(b) - common)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of x moves every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
