"""Is this document worth reading? The figures and French thresholds of FineWeb-2, each with a reason in words.

The figures are those of datatrove's GopherRepetitionFilter, FineWebQualityFilter and GopherQualityFilter, in the order
in which FineWeb-2 applies them. docs/quality.md defines each and says where French books asked for another choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType

import numpy as np

from jarvis_nano.corpus.quality.repetition import (
    Ints,
    duplicate_share,
    number_words,
    repeated_words,
    top_share,
)
from jarvis_nano.errors import UserError

# A word with what hyphens, points and commas join to it, and the apostrophe of an elision: l' · eau, dit-il, 3,14; a
# run of full stops or hyphens; else one mark. Close to what spaCy's French makes of prose, without spaCy.
WORD = re.compile(r"\w+(?:[-.,]\w+)*['’]?|\.{2,}|-{2,}|[^\w\s]")
# FineWeb-2's list for French (configs/fra_Latn.yml), with both apostrophes.
_STOP_WORDS = "de la le et à en l' l’ des du les est d' d’ un une il dans par au"
STOP_WORDS = frozenset(_STOP_WORDS.split())
SENTENCE_ENDS = (".", "'", '"', "!", "?")
FRENCH_ENDS = (*SENTENCE_ENDS, "…", "»", "”", "’")
# What datatrove takes for no word when a word is nothing else.
PUNCTUATION = frozenset(
    "!/—”:%〈&(、━\\【#「」，】；+^]~“《„';’{|∶´[-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»="
) | frozenset(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "empty": "The document holds no word.",
        "repeated_lines": "Too many of its lines repeat an earlier line.",
        "frequent_2_gram": "One pair of words makes up too much of it.",
        "frequent_3_gram": "One sequence of three words makes up too much of it.",
        "frequent_4_gram": "One sequence of four words makes up too much of it.",
        "repeated_5_grams": "Too much of it repeats sequences of five words.",
        "repeated_6_grams": "Too much of it repeats sequences of six words.",
        "repeated_7_grams": "Too much of it repeats sequences of seven words.",
        "repeated_8_grams": "Too much of it repeats sequences of eight words.",
        "repeated_9_grams": "Too much of it repeats sequences of nine words.",
        "repeated_10_grams": "Too much of it repeats sequences of ten words.",
        "few_sentence_ends": "Too few of its lines end like a sentence.",
        "short_lines": "Too many of its lines are short.",
        "repeated_line_characters": "Too many of its characters are in lines that repeat an earlier one.",
        "many_lines": "It has too many lines for its words: a list or a menu.",
        "too_short": "It has too few words.",
        "too_long": "It has too many words.",
        "short_words": "Its words are too short on average.",
        "long_words": "Its words are too long on average.",
        "many_hashes": "It has too many # signs for its words.",
        "many_ellipses": "It has too many ellipses for its words.",
        "bulleted_lines": "Nearly all of its lines begin with a bullet.",
        "cut_lines": "Too many of its lines end in an ellipsis.",
        "few_letters": "Too few of its words hold a letter.",
        "few_stop_words": "It has hardly any of the commonest French words.",
    }
)


@dataclass(frozen=True)
class Thresholds:
    """What a document may be. Shares are 0..1; None switches a rule off. A figure equal to its threshold passes.

    Defaults: FineWeb-2's for French, where it has them; else datatrove's for Gopher, but for `max_cut_lines`, since
    French novels end half of their lines in an ellipsis. `as_published`: figures as the published code has them; by
    default lines are counted without blank ones and without the spaces at their ends, as FineWeb-2's texts were, …
    » ” ’ end a sentence too, and marks are not counted among the words that should hold a letter.
    """

    max_repeated_lines: float | None = 0.264
    max_frequent_2_gram: float | None = 0.161
    max_frequent_3_gram: float | None = 0.149
    max_frequent_4_gram: float | None = 0.134
    max_repeated_5_grams: float | None = 0.15
    max_repeated_6_grams: float | None = 0.141
    max_repeated_7_grams: float | None = 0.131
    max_repeated_8_grams: float | None = 0.121
    max_repeated_9_grams: float | None = 0.111
    max_repeated_10_grams: float | None = 0.1
    min_sentence_ends: float | None = 0.1
    max_short_lines: float | None = None
    short_line: int = 30  # characters
    max_repeated_line_characters: float | None = 0.1
    max_lines_per_word: float | None = 0.185
    min_words: int | None = 50
    max_words: int | None = None
    min_word_length: float | None = 2.0  # characters, on average
    max_word_length: float | None = 11.0
    max_hashes_per_word: float | None = 0.1
    max_ellipses_per_word: float | None = 0.1
    max_bulleted_lines: float | None = 0.9
    max_cut_lines: float | None = 0.7
    min_words_with_letter: float | None = 0.812
    min_stop_words: int | None = 2
    stop_words: frozenset[str] = STOP_WORDS
    as_published: bool = False

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "stop_words" or value is None:
                continue
            if isinstance(value, str) or not 0 <= value < float("inf"):
                raise UserError(f"{entry.name} is {value!r}; expected a number from 0 up, or None for no limit")


@dataclass(frozen=True)
class Verdict:
    """`reason`: a key of REASONS, None for a document to keep. `figures`: by the names of the table in RULES."""

    reason: str | None
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class _Rule:
    reason: str
    figure: str
    threshold: str  # a field of Thresholds; its prefix says on which side of it a figure fails

    def fails(self, figures: Mapping[str, float], thresholds: Thresholds) -> bool:
        limit, figure = getattr(thresholds, self.threshold), figures.get(self.figure)
        if limit is None or figure is None:
            return False
        return figure > limit if self.threshold.startswith("max") else figure < limit


N_TOP, N_DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)
RULES: tuple[_Rule, ...] = (
    _Rule("repeated_lines", "repeated_lines", "max_repeated_lines"),
    *(_Rule(f"frequent_{n}_gram", f"frequent_{n}_gram", f"max_frequent_{n}_gram") for n in N_TOP),
    *(_Rule(f"repeated_{n}_grams", f"repeated_{n}_grams", f"max_repeated_{n}_grams") for n in N_DUPLICATE),
    _Rule("few_sentence_ends", "sentence_ends", "min_sentence_ends"),
    _Rule("short_lines", "short_lines", "max_short_lines"),
    _Rule("repeated_line_characters", "repeated_line_characters", "max_repeated_line_characters"),
    _Rule("many_lines", "lines_per_word", "max_lines_per_word"),
    _Rule("too_short", "words", "min_words"),
    _Rule("too_long", "words", "max_words"),
    _Rule("short_words", "word_length", "min_word_length"),
    _Rule("long_words", "word_length", "max_word_length"),
    _Rule("many_hashes", "hashes_per_word", "max_hashes_per_word"),
    _Rule("many_ellipses", "ellipses_per_word", "max_ellipses_per_word"),
    _Rule("bulleted_lines", "bulleted_lines", "max_bulleted_lines"),
    _Rule("cut_lines", "cut_lines", "max_cut_lines"),
    _Rule("few_letters", "words_with_letter", "min_words_with_letter"),
    _Rule("few_stop_words", "stop_words", "min_stop_words"),
)


DEFAULT = Thresholds()


def judge(text: str, thresholds: Thresholds = DEFAULT) -> Verdict:
    """All figures of `text`, and the first reason to drop it in FineWeb-2's order, None for none.

    Memory: some 60 bytes a character while it works.
    """
    figures = measure(text, thresholds)
    if not figures:
        return Verdict("empty")
    broken = (rule.reason for rule in RULES if rule.fails(figures, thresholds))
    return Verdict(next(broken, None), figures)


def measure(text: str, thresholds: Thresholds = DEFAULT) -> dict[str, float]:
    """The figures of `text` by name; none where it holds no word. Of the thresholds only what defines a figure counts:
    stop_words, short_line, as_published."""
    words = WORD.findall(text)
    if not words:
        return {}
    number_of, numbers = number_words(words)
    lengths = np.fromiter(map(len, number_of), np.int64, len(number_of))
    figures = dict(_repetition_figures(text, words, numbers, lengths))
    figures.update(_line_figures(text, len(words), thresholds))
    figures.update(_word_figures(text, number_of, np.bincount(numbers), lengths, thresholds))
    return figures


def _line_figures(text: str, n_words: int, thresholds: Thresholds) -> Iterator[tuple[str, float]]:
    lines = text.split("\n")
    n_chars = len(text) - len(lines) + 1
    full = [line for line in lines if line and not line.isspace()]
    if not thresholds.as_published:
        lines = full = [line.rstrip() for line in full]
    distinct = dict.fromkeys(full)
    yield "repeated_lines", (len(full) - len(distinct)) / len(full)
    yield "repeated_line_characters", (sum(map(len, full)) - sum(map(len, distinct))) / n_chars
    ends = SENTENCE_ENDS if thresholds.as_published else FRENCH_ENDS
    yield "sentence_ends", sum(line.endswith(ends) for line in lines) / len(lines)
    yield "short_lines", sum(len(line) <= thresholds.short_line for line in lines) / len(lines)
    yield "lines_per_word", (len(lines) - 1) / n_words
    yield "bulleted_lines", sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines)
    yield "cut_lines", sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines)


def _word_figures(
    text: str, number_of: Mapping[str, int], counts: Ints, lengths: Ints, thresholds: Thresholds
) -> Iterator[tuple[str, float]]:
    """What a word is depends on it alone, so each distinct word is looked at once."""
    all_letters = list(map(str.isalpha, number_of))
    is_mark = np.zeros(len(counts), np.bool_)
    has_letter = np.array(all_letters)
    for (word, number), letters in zip(number_of.items(), all_letters, strict=True):
        if not letters:
            is_mark[number] = PUNCTUATION.issuperset(word)
            has_letter[number] = any(map(str.isalpha, word))
    n_words = int(counts.sum())
    n_real = n_words - int(counts[is_mark].sum())
    yield "words", n_real
    yield "word_length", float((lengths * counts)[~is_mark].sum()) / n_real if n_real else 0.0
    n_counted = n_words if thresholds.as_published else max(n_real, 1)
    yield "words_with_letter", float(counts[has_letter].sum()) / n_counted
    yield "stop_words", sum(int(counts[number_of[word]]) for word in thresholds.stop_words if word in number_of)
    yield "hashes_per_word", text.count("#") / n_words
    yield "ellipses_per_word", (text.count("...") + text.count("…")) / n_words


def _repetition_figures(text: str, words: Sequence[str], numbers: Ints, lengths: Ints) -> Iterator[tuple[str, float]]:
    repeats = repeated_words(numbers)
    lengths_at = lengths[numbers]
    for n in range(2, max(N_DUPLICATE) + 1):
        repeats = repeats.longer(len(words), n)
        if n in N_TOP:
            yield f"frequent_{n}_gram", top_share(words, repeats, n, len(text))
        else:
            yield f"repeated_{n}_grams", duplicate_share(lengths_at, repeats, n, len(text))
