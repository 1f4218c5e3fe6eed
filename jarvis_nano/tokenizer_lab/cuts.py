"""How a tokenizer cuts French: words, elisions, numbers, accents, capitals. Measured from the bytes of each token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab.spans import token_spans

# A run of letters, with combining accents; no nested repeats, so linear on any text.
_WORD = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f])+")
_ELISION = re.compile(r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)['’](?=[^\W\d_])", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")

ELISIONS = ("l'eau", "l’eau", "d'abord", "qu’il", "j’ai", "aujourd'hui", "aujourd’hui")
NUMBERS = ("1789", "3,14", "12 345", "2 026")
ACCENTED = "éèàùçâêîôûëïü"
SIGNS = "œŒæÉÀÇ«»—…’€°"


@dataclass(frozen=True)
class Cuts:
    """How the words, elisions and numbers of texts are cut; counts."""

    words: int
    word_tokens: int  # parts of all words together
    cut_in_two: int  # words of two parts or more
    cut_in_three: int
    elisions: int
    kept: int  # l' · eau
    apart: int  # l · ' · eau
    with_next: int  # l · 'eau
    joined: int  # l'eau in one
    digits: int
    digit_tokens: int

    @property
    def fertility(self) -> float:
        """Tokens a word is cut into, on average (Rust et al. 2021)."""
        return self.word_tokens / self.words if self.words else float("nan")

    @property
    def kept_share(self) -> float:
        """Of the elisions, those whose apostrophe stays with the elided word and not with the next."""
        return self.kept / self.elisions if self.elisions else float("nan")


def count_cuts(tokenizer: Tokenizer, texts: Sequence[str]) -> Cuts:
    """Cuts of all the texts together."""
    total: Counter[str] = Counter()
    for text in texts:
        _count(text, boundaries(tokenizer, text), total)
    names = Cuts.__dataclass_fields__
    return Cuts(**{name: total[name] for name in names})


def boundaries(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """Where tokens begin or end, in bytes of the text's UTF-8, sorted, each once."""
    return np.unique(token_spans(tokenizer, text).bytes)


def _count(text: str, cut_at: np.ndarray, total: Counter[str]) -> None:
    at_byte = _bytes_before(text)
    is_cut = np.zeros(at_byte[-1] + 1, dtype=bool)
    is_cut[cut_at] = True
    n_cuts = np.concatenate([[0], np.cumsum(is_cut)])  # before each byte
    for name, pattern in (("word", _WORD), ("number", _NUMBER)):
        spans = at_byte[np.array([found.span() for found in pattern.finditer(text)], dtype=np.int64).reshape(-1, 2)]
        inside = n_cuts[spans[:, 1]] - n_cuts[spans[:, 0] + 1]
        if name == "word":
            total["words"] += len(spans)
            total["word_tokens"] += int(inside.sum()) + len(spans)
            total["cut_in_two"] += int((inside >= 1).sum())
            total["cut_in_three"] += int((inside >= 2).sum())
        else:
            total["digits"] += int((spans[:, 1] - spans[:, 0]).sum())
            total["digit_tokens"] += int(inside.sum()) + len(spans)
    for found in _ELISION.finditer(text):
        before, after = is_cut[at_byte[found.end() - 1]], is_cut[at_byte[found.end()]]
        total["elisions"] += 1
        total[{(0, 1): "kept", (1, 1): "apart", (1, 0): "with_next", (0, 0): "joined"}[int(before), int(after)]] += 1


def _bytes_before(text: str) -> np.ndarray:
    """How many bytes of UTF-8 stand before each character, and before the end."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    sizes = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
    return np.concatenate([[0], np.cumsum(sizes)])


def shown(tokenizer: Tokenizer, text: str) -> str:
    """The text as it is cut, for reading: l' · eau."""
    names = (tokenizer.piece(index) for index in tokenizer.encode(text).tolist())
    return " · ".join(name.replace(" ", "␣").replace("\n", "⏎") for name in names)


def number_shapes(tokenizer: Tokenizer, n_digits: int = 4) -> list[tuple[str, str]]:
    """The different ways in which numbers of so many digits are cut, and an example of each: one is consistent.

    A shape is the lengths of the parts: "3+1" for 178 · 9. Each number stands after "en ", as a year does.
    """
    shapes: dict[str, str] = {}
    numbers = range(10 ** (n_digits - 1), 10**n_digits, 7)
    for number in numbers:
        ends = boundaries(tokenizer, f"en {number}")
        inner = [0, *(end - 3 for end in ends.tolist() if 3 < end < 3 + n_digits), n_digits]
        shapes.setdefault("+".join(str(b - a) for a, b in pairwise(inner)), str(number))
    return sorted(shapes.items())


def tokens_each(tokenizer: Tokenizer, characters: str) -> float:
    """Tokens that one of these characters takes alone, on average: 1 where each has a token, 2 or 3 as bytes."""
    return sum(tokenizer.count(character) for character in characters) / len(characters)


def unknown_characters(tokenizer: Tokenizer, characters: str) -> str:
    """Those of the characters that the tokenizer does not bring back."""
    return "".join(c for c in characters if tokenizer.decode(tokenizer.encode(c)).strip() != c)


def capital_cost(tokenizer: Tokenizer, texts: Sequence[str], n_words: int = 500) -> tuple[float, float]:
    """(extra tokens of a word with a capital, of a word in capitals), over the commonest words of 4 letters or more."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word in _WORD.findall(text) if len(word) > 3 and word.islower())
    common = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n_words]]
    if not common:
        return float("nan"), float("nan")
    small = sum(tokenizer.count(f" {word}") for word in common)
    capital = sum(tokenizer.count(f" {word.capitalize()}") for word in common)
    upper = sum(tokenizer.count(f" {word.upper()}") for word in common)
    return (capital - small) / len(common), (upper - small) / len(common)
