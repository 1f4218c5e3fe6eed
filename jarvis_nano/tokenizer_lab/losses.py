"""What a tokenizer does not bring back: texts that differ after decode(encode(text)), unknown tokens, and the bits
that it would take to mend them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab.ngram import NGram
from jarvis_nano.tokenizer_lab.sampling import rank
from jarvis_nano.tokenizer_lab.spans import OwnTexts, token_spans

MENDS_LEARNT = 2 << 20  # bytes: what is lost has few forms, and finding it is slow
_AROUND = 12  # characters of context in an example
_LAST_OF_THREE = np.array([False, False, True])


@dataclass(frozen=True)
class Loss:
    """A text that came back otherwise: the first place, with a little around it."""

    text: str
    back: str

    def __str__(self) -> str:
        return f"{self.text!r} -> {self.back!r}"


def come_back(tokenizer: Tokenizer, text: str) -> str:
    """decode(encode(text))."""
    return tokenizer.decode(tokenizer.encode(text))


def first_difference(text: str, back: str) -> Loss | None:
    """Where the two part, in context; None where they are the same."""
    if text == back:
        return None
    at = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    begin = max(0, at - _AROUND)
    return Loss(text[begin : at + _AROUND], back[begin : at + _AROUND])


def round_trips(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[int, int, list[Loss]]:
    """(lines that do not come back, lines, the first three of different ways). A line keeps its line end."""
    n_failed = n_lines = 0
    found: dict[str, Loss] = {}
    for text in texts:
        if come_back(tokenizer, text) == text and tokenizer.encoder.byte_level:
            n_lines += text.count("\n") + 1  # joining bytes: what holds for the whole holds for its lines
            continue
        for line in text.splitlines(keepends=True):
            n_lines += 1
            difference = first_difference(line, come_back(tokenizer, line))
            if difference is not None:
                n_failed += 1
                if len(found) < 3:
                    found.setdefault(difference.text, difference)
    return n_failed, n_lines, list(found.values())


class Mending:
    """The bits that turn what comes back into the text: what a lossy tokenizer hides from a language model.

    Neighbouring tokens with overlapping spans make a group. Before each group stands a mend: the text that no token
    covers (spaces dropped), and the group's own text where it is not that of its tokens (an unknown character, a
    normalised one). Mends are symbols that an n-gram model of order 3 predicts from the group's first token and the
    token before; one that was not seen in learning costs an escape and 8 bits for each of its bytes and its end.
    A text that comes back needs none of it, so a lossless tokenizer pays nothing.
    """

    def __init__(self, tokenizer: Tokenizer, learn: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._own = OwnTexts(tokenizer)
        rows = [self._mends(text) for text in learn]
        names = Counter(mend for row in rows for _, _, mend in row)
        # What was seen once teaches how often something new comes: it is learnt as the escape.
        known = sorted(mend for mend, count in names.items() if count > 1)
        self._first = tokenizer.vocab_size + 1  # ids first, then "no token before", then mends
        self._symbols = {mend: self._first + 1 + n for n, mend in enumerate(known)}
        self._needed = any(mend != ("", "") for mend in names)
        self._model = NGram(
            [self._row(*entry) for row in rows for entry in row] or [np.zeros(0, np.int64)],
            vocab_size=self._first + 1 + len(known),
            order=3,
            predicted=[_LAST_OF_THREE] * sum(map(len, rows)) or [np.zeros(0, bool)],
            padded=False,
        )

    def bits(self, texts: Sequence[str]) -> float:
        """Bits to mend all of the texts."""
        entries = [entry for text in texts for entry in self._mends(text)]
        if not self._needed and all(mend == ("", "") for _, _, mend in entries):
            return 0.0
        predicted = [_LAST_OF_THREE] * len(entries)
        coded = self._model.bits([self._row(*entry) for entry in entries], predicted=predicted).sum()
        spelt = (mend for _, _, mend in entries if mend not in self._symbols)
        return float(coded) + sum(8.0 * (len("".join(mend).encode()) + 1) for mend in spelt)

    def _row(self, before: int, first: int, mend: tuple[str, str]) -> np.ndarray:
        return np.array([before, first, self._symbols.get(mend, self._first)], dtype=np.int64)

    def _mends(self, text: str) -> list[tuple[int, int, tuple[str, str]]]:
        """(the token before, the first token of the group, (text dropped before it, its text if it is another))."""
        ids = self._tokenizer.encode(text).tolist()
        no_token = self._tokenizer.vocab_size
        if self._tokenizer.decode(ids) == text:
            return [(before, first, ("", "")) for before, first in zip([no_token, *ids], ids, strict=False)]
        spans = token_spans(self._tokenizer, text).characters.tolist()
        found: list[tuple[int, int, tuple[str, str]]] = []
        place, begin_at = 0, 0
        while place < len(ids):
            begin, end = spans[place]
            stop = place + 1
            while stop < len(ids) and spans[stop][0] < end:
                end = max(end, spans[stop][1])
                stop += 1
            own = self._own.joined(ids[place:stop])
            covered = text[begin:end]
            before = ids[place - 1] if place else no_token
            found.append((before, ids[place], (text[begin_at:begin], "" if own == covered else covered)))
            place, begin_at = stop, end
        found.append((ids[-1] if ids else no_token, no_token, (text[begin_at:], "")))
        return found


def _some(texts: Sequence[str]) -> list[str]:
    """Up to MENDS_LEARNT bytes of the texts, by hash."""
    chosen, n_bytes = [], 0
    for text in sorted(texts, key=lambda text: rank(text.encode())):
        if n_bytes > MENDS_LEARNT:
            break
        chosen.append(text)
        n_bytes += len(text.encode())
    return chosen


@dataclass(frozen=True)
class BitsPerByte:
    """total = of the tokens + of the mends, in bits per byte of UTF-8 of the text."""

    of_tokens: float
    of_mends: float

    @property
    def total(self) -> float:
        return self.of_tokens + self.of_mends


def bits_per_byte(tokenizer: Tokenizer, learn: Sequence[str], measure: Sequence[str]) -> BitsPerByte:
    """By an n-gram model learnt on the ids of `learn`, what a byte of `measure` costs with all that was lost.

    Not counted where there is nothing to learn from: nan.
    """
    n_bytes = sum(len(text.encode()) for text in measure)
    if not learn or not n_bytes:
        return BitsPerByte(math.nan, math.nan)
    model = NGram([tokenizer.encode(text) for text in learn], vocab_size=tokenizer.vocab_size)
    tokens = float(model.bits([tokenizer.encode(text) for text in measure]).sum())
    lossless = all(come_back(tokenizer, text) == text for text in (*learn, *measure))
    mends = 0.0 if lossless else Mending(tokenizer, _some(learn)).bits(measure)
    return BitsPerByte(tokens / n_bytes, mends / n_bytes)
