"""What was read, kept and dropped, and how the kept text looks: figures of one part that add up to those of all."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from jarvis_nano.corpus.documents import MAX_NAMED_SOURCES, OTHER_SOURCES, Document

KEPT = "kept"
SAMPLES = 8  # of each reason: enough to judge a rule by
EXCERPT = 600  # characters of a sample
_MAX_NAMES = 20_000  # of templates

# Counters by name. "reasons": documents dropped; "sources": [documents, bytes] are apart, in `sources`.
_COUNTERS = (
    "documents",  # read, kept
    "text_bytes",  # of UTF-8, before cleaning (read) and after it (kept)
    "reasons",
    "languages",  # of the kept documents
    "kept_words",  # histogram: number of documents by log2 of their words
    "dropped_words",
    "rules",  # documents that a rule of normalising changed
    "masked",
    "passed_over",  # records that are no text: redirects, other namespaces
    "damaged",  # damaged records and files, by file
    "templates",  # uses of unknown templates
)


class Counts:
    """Counters, characters of the kept text, and samples: those of lowest hash, so that the order does not matter."""

    def __init__(self) -> None:
        self.counters: dict[str, Counter[str]] = {name: Counter() for name in _COUNTERS}
        self.sources: dict[str, list[int]] = {}
        self.samples: dict[str, list[dict[str, Any]]] = {}
        self._characters = np.zeros(1 << 16, dtype=np.int64)  # UTF-16 units
        self._rare: Counter[str] = Counter()  # characters beyond them

    def __getitem__(self, name: str) -> Counter[str]:
        return self.counters[name]

    def add_read(self, text_bytes: int) -> None:
        self["documents"]["read"] += 1
        self["text_bytes"]["read"] += text_bytes

    def add_kept(self, document: Document, language: str, n_words: int) -> None:
        size = len(document.utf8)
        self["documents"]["kept"] += 1
        self["text_bytes"]["kept"] += size
        self["languages"][language] += 1
        self["kept_words"][_bin(n_words)] += 1
        self.add_source(document.source, 1, size)
        units = np.bincount(np.frombuffer(document.text.encode("utf-16-le"), dtype=np.uint16))
        self._characters[: len(units)] += units  # most texts end far below 65,536: a short one costs 3 µs, not 40
        if units[0xD800:0xE000].any():
            self._rare.update(character for character in document.text if character > "\uffff")
        self._sample(KEPT, document, {})

    def add_dropped(self, document: Document, reason: str, n_words: int, why: Mapping[str, Any]) -> None:
        self["reasons"][reason] += 1
        self["dropped_words"][_bin(n_words)] += 1
        self._sample(reason, document, why)

    def add_source(self, source: str, documents: int, text_bytes: int) -> None:
        if source not in self.sources and len(self.sources) >= MAX_NAMED_SOURCES:
            source = OTHER_SOURCES
        entry = self.sources.setdefault(source, [0, 0])
        entry[0] += documents
        entry[1] += text_bytes

    def move_to_dropped(self, document: Document, reason: str, n_words: int, language: str, why: dict) -> None:
        """Take a kept document out again: a duplicate, which is known only when all have been read.

        Its characters and its sample stay: they are those of the text before duplicates are taken out.
        """
        size = len(document.utf8)
        self["documents"]["kept"] -= 1
        self["text_bytes"]["kept"] -= size
        self["languages"][language] -= 1
        self["kept_words"][_bin(n_words)] -= 1
        self.add_source(document.source, -1, -size)
        self.add_dropped(document, reason, n_words, why)

    @property
    def characters(self) -> dict[str, int]:
        """Characters of the kept text and how often they occur, by code."""
        codes = [int(code) for code in np.flatnonzero(self._characters) if not 0xD800 <= code < 0xE000]
        return {chr(code): int(self._characters[code]) for code in codes} | dict(sorted(self._rare.items()))

    def add(self, other: Counts) -> None:
        """The figures of another part."""
        for name, counter in other.counters.items():
            self[name].update(counter)
        for source, (documents, size) in other.sources.items():
            self.add_source(source, documents, size)
        for reason, samples in other.samples.items():
            self.samples[reason] = sorted(self.samples.get(reason, []) + samples, key=_rank)[:SAMPLES]
        self._characters += other._characters
        self._rare.update(other._rare)

    def as_json(self) -> dict[str, Any]:
        """All of it, sorted by name: equal counts give equal JSON."""
        return {
            **{name: dict(sorted((+counter).items())) for name, counter in self.counters.items()},
            "sources": dict(sorted((name, entry) for name, entry in self.sources.items() if entry[0])),
            "samples": dict(sorted(self.samples.items())),
            "characters": self.characters,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Counts:
        counts = cls()
        for name in _COUNTERS:
            counts.counters[name] = Counter(stored[name])
        counts.sources = {name: list(entry) for name, entry in stored["sources"].items()}
        counts.samples = dict(stored["samples"])
        for character, count in stored["characters"].items():
            if character > "\uffff":
                counts._rare[character] = count
            else:
                counts._characters[ord(character)] = count
        return counts

    def add_templates(self, found: Counter[str]) -> None:
        """Uses of templates without a rule; of very many kinds the commonest are kept."""
        self["templates"].update(found)
        if len(self["templates"]) > _MAX_NAMES:
            self.counters["templates"] = Counter(dict(self["templates"].most_common(_MAX_NAMES // 2)))

    def _sample(self, reason: str, document: Document, why: Mapping[str, Any]) -> None:
        samples = self.samples.setdefault(reason, [])
        rank = hashlib.blake2b(document.id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        if len(samples) >= SAMPLES and rank > samples[-1]["rank"]:
            return
        excerpt = document.text[:EXCERPT] + ("…" if len(document.text) > EXCERPT else "")
        samples.append({"rank": rank, "id": document.id, "source": document.source, "text": excerpt, **why})
        samples.sort(key=_rank)
        del samples[SAMPLES:]


def _rank(sample: dict[str, Any]) -> str:
    return sample["rank"]


def _bin(n_words: int) -> str:
    """Bins of the histogram by their lower end: 0, 1, 2, 4, 8 …; zero-padded, so that they sort."""
    return f"{1 << (n_words.bit_length() - 1) if n_words else 0:08d}"
