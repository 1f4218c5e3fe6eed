"""Which language is a document in? A cheap look for clear French, lingua for the rest, at a bounded cost a document.

Not for short strings: three words are of no language in particular.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jarvis_nano.corpus.function_words import FRENCH, ONLY_FRENCH, OTHER, count, words
from jarvis_nano.errors import UserError

# What is written around French or taken for it. Occitan and the creoles are none of lingua's 75 languages.
CANDIDATES = ("fr", "en", "de", "es", "it", "pt", "nl", "ca", "la", "ro", "pl", "ru", "ar")
UNKNOWN = "und"  # ISO 639-2 for "undetermined"

SAMPLE = 400  # characters
N_SAMPLES = 3
MAX_SAMPLED = N_SAMPLES * SAMPLE
MIN_LETTERS = 10
MIN_CONFIDENCE = 0.1  # less is no answer
QUICK_CONFIDENCE = 0.99  # of what the quick look calls French; it is made to leave doubt to lingua
_QUICK_WORDS = 20  # a sample of fewer words decides nothing
_QUICK_FRENCH, _QUICK_ONLY, _QUICK_OTHER = 0.37, 0.11, 0.03  # shares of a sample's words
# lingua calls Occitan, Picard and the creoles French with confidence 1. Of French prose half of the words are function
# words and a quarter are of French alone; where their score (below) is less than this, its confidence is cut.
_FRENCH_SCORE = 0.35
MAX_SHARE_CHARS = 40_000


def samples(text: str) -> list[str]:
    """Up to three pieces of about SAMPLE characters, from the beginning, the middle and the end, cut between words."""
    if len(text) <= MAX_SAMPLED:
        return [text]
    middle = (len(text) - SAMPLE) // 2
    return [_whole_words(text, start) for start in (0, middle, len(text) - SAMPLE)]


def _whole_words(text: str, start: int) -> str:
    end = start + SAMPLE
    piece = text[start:end]
    if start > 0 and not text[start - 1].isspace():
        piece = piece.split(None, 1)[-1]
    if end < len(text) and not text[end].isspace():
        piece = piece.rsplit(None, 1)[0] if piece.split() else piece
    return piece


def looks_french(text: str) -> bool:
    """Whether every sample of `text` is clearly French by its function words: half of all words in French prose.

    Asks three things of each sample: enough function words of French, enough that its neighbours do not share (à, les,
    dans, était), hardly any of theirs. False says nothing: lingua should look.
    """
    return all(map(_clearly_french, samples(text)))


def _clearly_french(sample: str) -> bool:
    found = words(sample)
    n = len(found)
    return (
        n >= _QUICK_WORDS
        and count(found, FRENCH) >= _QUICK_FRENCH * n
        and count(found, ONLY_FRENCH) >= _QUICK_ONLY * n
        and count(found, OTHER) <= _QUICK_OTHER * n
    )


def _plausibility(sample: str) -> float:
    """0..1: how far function words bear out that `sample` is French; 1 for few words, which cannot tell."""
    found = words(sample)
    if len(found) < _QUICK_WORDS:
        return 1.0
    score = (count(found, FRENCH) + count(found, ONLY_FRENCH) - count(found, OTHER)) / len(found)
    return min(1.0, max(0.0, score / _FRENCH_SCORE))


def french_share(text: str) -> float:
    """The share 0..1 of the characters of `text` that stand in lines that read as French by their function words.

    Lines without a function word of any language known do not count; 0 where none counts. Of a text past
    MAX_SHARE_CHARS characters lines at regular places are looked at, about that many characters in all.
    """
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    step = max(1, len(text) // MAX_SHARE_CHARS)
    french = told = 0
    for line in lines[::step]:
        found = words(line[:MAX_SHARE_CHARS])
        lean = count(found, FRENCH) - 2 * count(found, OTHER)
        if lean:
            told += len(line)
            french += len(line) * (lean > 0)
    return french / told if told else 0.0


class LanguageIdentifier:
    """identify(text) -> (ISO 639-1 code, confidence 0..1) by lingua among `candidates`; ("und", 0.0): nothing tells.

    `quick`: clear French is called so without lingua, which is loaded only when it is needed. Confidences of several
    samples are averaged, so a document in two languages has a low one; French needs its function words as well, or
    Occitan and the creoles, which lingua does not know, would pass for it. Memory: 280 MB once lingua has seen text of
    all kinds. Can be pickled: the copy loads its own. UserError on codes that lingua does not know.
    """

    def __init__(self, candidates: Sequence[str] = CANDIDATES, *, quick: bool = True) -> None:
        self.candidates = tuple(dict.fromkeys(candidates))
        self.quick = quick and "fr" in self.candidates
        self._detector: Any = None
        if len(self.candidates) < 2:
            raise UserError(f"candidates {self.candidates} name fewer than two languages; with one there is no choice")
        if self.candidates != CANDIDATES:
            self._load()  # a wrong code is better known now than after an hour

    def identify(self, text: str) -> tuple[str, float]:
        taken = samples(text)
        if self.quick and all(map(_clearly_french, taken)):
            return "fr", QUICK_CONFIDENCE
        if sum(map(str.isalpha, "".join(taken))) < MIN_LETTERS:
            return UNKNOWN, 0.0
        if self._detector is None:
            self._load()
        sums: dict[str, float] = dict.fromkeys(self.candidates, 0.0)
        for sample in taken:
            for found in self._detector.compute_language_confidence_values(sample):
                sums[found.language.iso_code_639_1.name.lower()] += found.value * len(sample)
        n_chars = sum(map(len, taken))
        if "fr" in sums:
            sums["fr"] *= sum(_plausibility(sample) * len(sample) for sample in taken) / n_chars
        code, weight = max(sums.items(), key=lambda item: item[1])
        confidence = weight / n_chars
        return (code, round(confidence, 6)) if confidence >= MIN_CONFIDENCE else (UNKNOWN, 0.0)

    def _load(self) -> None:
        try:
            from lingua import IsoCode639_1, LanguageDetectorBuilder
        except ImportError as error:
            raise UserError(
                "lingua, which tells languages apart, is not installed; "
                'run pip install -e ".[corpus]" or keep all languages'
            ) from error
        unknown = [code for code in self.candidates if not hasattr(IsoCode639_1, code.upper())]
        if unknown:
            raise UserError(f"{', '.join(unknown)} is no language that lingua knows; expected codes such as fr, en, de")
        isos = [getattr(IsoCode639_1, code.upper()) for code in self.candidates]
        self._detector = LanguageDetectorBuilder.from_iso_codes_639_1(*isos).build()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_detector": None}
