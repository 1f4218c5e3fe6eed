"""One document at a time: rebuilt, normalised, masked, judged. What depends on other documents is finishing.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.normalise import Normaliser
from jarvis_nano.corpus.preparing.counts import Counts
from jarvis_nano.corpus.preparing.settings import Settings
from jarvis_nano.corpus.quality.filters import judge
from jarvis_nano.corpus.quality.sensitive import mask
from jarvis_nano.corpus.sources.books import looks_wrapped, rebuild
from jarvis_nano.corpus.sources.gutenberg import without_licence

EMPTY, OTHER_LANGUAGE = "empty", "other_language"
UNKNOWN_LANGUAGE = "any"
WRAPPED_FORMATS = frozenset({"text", "docx"})
"""Formats of which documents may have lines of paper: the others have paragraphs of their own."""


@dataclass(frozen=True)
class Outcome:
    """A cleaned document, and why it is dropped: `reason` is None where it is kept. `why` holds the figures."""

    document: Document
    reason: str | None
    language: str
    n_words: int
    why: Mapping[str, Any] = field(default_factory=dict)


class Cleaner:
    """The steps of one process, in order; made once, for the language models take a second to load."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._normalise = Normaliser(off=settings.rules_off, on=settings.rules_on)
        self._identify = settings.identifier().identify if settings.languages else None

    def clean(self, document: Document, file_format: str, counts: Counts) -> Outcome:
        """The document as it would be kept, and the verdict; `counts` learns what the rules changed and masked."""
        settings = self._settings
        text = document.text if file_format != "text" else without_licence(document.text)
        if self._is_wrapped(text, file_format):
            text = rebuild(text)
            counts["rules"]["rebuild"] += 1
        before = self._normalise.changed.copy()
        text = self._normalise(text).strip("\n")
        counts["rules"].update(self._normalise.changed - before)
        if settings.mask:
            text, masked = mask(text, settings.mask)
            counts["masked"].update(masked)
        cleaned = replace(document, text=text)
        n_words = len(text.split())
        if not n_words:
            return Outcome(cleaned, EMPTY, UNKNOWN_LANGUAGE, 0)
        if settings.quality:
            verdict = judge(text, settings.thresholds)
            if verdict.reason is not None:
                return Outcome(cleaned, verdict.reason, UNKNOWN_LANGUAGE, n_words, {"figures": verdict.figures})
        if self._identify is None:
            return Outcome(cleaned, None, UNKNOWN_LANGUAGE, n_words)
        language, confidence = self._identify(text)
        if language in settings.languages and confidence >= settings.min_confidence:
            return Outcome(cleaned, None, language, n_words)
        why = {"language": language, "confidence": round(confidence, 3)}
        return Outcome(cleaned, OTHER_LANGUAGE, language, n_words, why)

    def _is_wrapped(self, text: str, file_format: str) -> bool:
        if self._settings.rebuild == "auto":
            return file_format in WRAPPED_FORMATS and looks_wrapped(text)
        return self._settings.rebuild == "on"
