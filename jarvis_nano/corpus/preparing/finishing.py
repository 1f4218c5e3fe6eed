"""From parts to the corpus: duplicates among all documents, the files without them, what was dropped, the counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jarvis_nano.corpus.documents import BYTES_PER_FILE, Document, PackedLines, as_record, documents_name, file_entry
from jarvis_nano.corpus.duplicates.candidates import candidate_pairs, exact_duplicates
from jarvis_nano.corpus.duplicates.clusters import ShingleStore, verified_duplicates
from jarvis_nano.corpus.duplicates.signatures import shingles
from jarvis_nano.corpus.preparing.counts import Counts
from jarvis_nano.corpus.preparing.identities import Identities
from jarvis_nano.corpus.preparing.parts import Part, dropped_record
from jarvis_nano.corpus.preparing.settings import Settings
from jarvis_nano.corpus.preparing.workers import Workers

EXACT, NEAR = "exact_duplicate", "near_duplicate"
REPORT = "report"

OnStage = Callable[[str, int, int], object]
"""(stage, done, of)"""


@dataclass(frozen=True)
class Duplicates:
    """stands_for (n,) int64: for each document the one that stays in its place, itself where it stays; exact (n,)
    bool: whether its text is the very same."""

    stands_for: np.ndarray
    exact: np.ndarray

    @property
    def gone(self) -> np.ndarray:
        """(n,) bool."""
        return self.stands_for != np.arange(len(self.stands_for))


def find_duplicates(parts: Sequence[Part], settings: Settings, work: Path, on_stage: OnStage) -> Duplicates:
    """Among the kept documents of all parts, numbered through them in order. Memory: 430 bytes a document, as measured,
    of which 240 are keys mapped from the disk (docs/preparing.md)."""
    sizes = [len(part.digests()) for part in parts]
    n_documents = sum(sizes)
    if settings.duplicates == "off":
        return Duplicates(np.arange(n_documents), np.zeros(n_documents, dtype=bool))
    digests = np.concatenate([np.empty((0, 2), dtype=np.uint64), *(part.digests() for part in parts)])
    stands_for = exact_duplicates(digests)
    exact = stands_for != np.arange(n_documents)
    del digests
    if settings.duplicates == "near":
        pairs = candidate_pairs([part.bands for part in parts], ~exact, lambda *done: on_stage("comparing", *done))
        documents = np.unique(pairs)
        sets = _shingles_of(parts, sizes, documents, lambda *done: on_stage("reading candidates", *done))
        store = ShingleStore(work / "shingles", documents, sets)
        near = verified_duplicates(
            pairs,
            store,
            n_documents,
            threshold=settings.near_threshold,
            on_pair=lambda *done: on_stage("verifying", *done),
        )
        stands_for = near[stands_for]  # an exact copy of a near duplicate goes with it
    return Duplicates(stands_for, exact)


def _shingles_of(
    parts: Sequence[Part], sizes: Sequence[int], documents: np.ndarray, on_part: Callable[[int, int], object]
) -> Iterator[np.ndarray]:
    begin = 0
    for done, (part, size) in enumerate(zip(parts, sizes)):
        wanted = set(documents[(documents >= begin) & (documents < begin + size)].tolist())
        if wanted:
            for number, line in enumerate(part.lines(), start=begin):
                if number in wanted:
                    yield shingles(json.loads(line)["text"])
        begin += size
        on_part(done + 1, len(parts))


@dataclass(frozen=True)
class _Task:
    """A part to be written without some of its documents, all of them told by their numbers in it."""

    part: Part
    gone: Mapping[int, tuple[str, str]]
    """What goes -> (reason, id of the one that stays in its place)"""
    languages: Mapping[int, str]
    """Of what goes."""
    renamed: Mapping[int, str]
    """Ids in place of those that another document bears."""
    keep_dropped: bool


def write_documents(
    parts: Sequence[Part], duplicates: Duplicates, out: Path, settings: Settings, workers: Workers, on_stage: OnStage
) -> tuple[list[dict[str, Any]], Counts]:
    """documents-NNNNN.jsonl.zst without the duplicates, report/dropped.jsonl.zst, report/damaged.jsonl.

    Returns the manifest's entries of the files, and the counts of all. Parts without duplicates are copied as they
    are, for a zst file may have several frames. Deletes nothing: after a kill it is done again.
    """
    counts, files = Counts(), _CorpusFiles(out)
    (out / REPORT).mkdir(exist_ok=True)
    with (
        (out / REPORT / "dropped.jsonl.zst").open("wb") as dropped,
        (out / REPORT / "damaged.jsonl").open("wb") as damaged,
    ):
        tasks = _tasks(parts, duplicates, settings)
        for done, (part, own) in enumerate(zip(parts, workers.map(_without, tasks)), start=1):
            counts.add(own)
            written = part.final if part.final.exists() else part.documents
            files.add(written, own["documents"]["kept"], own["text_bytes"]["kept"])
            for gone in (part.dropped, part.duplicates):
                _append(gone, dropped)
            _append(part.damaged, damaged)
            on_stage("writing", done, len(parts))
    return files.close(), counts


def _tasks(parts: Sequence[Part], duplicates: Duplicates, settings: Settings) -> Iterator[_Task]:
    identities = Identities(identity for part in parts for _, identity in part.index())
    kept_ids = _ids(parts, duplicates, identities)
    begin = 0
    for part in parts:
        gone = {}
        size = len(part.digests())
        repeated = {number - begin for number in identities.repeated(begin, begin + size)}
        for number in (np.flatnonzero(duplicates.gone[begin : begin + size]) + begin).tolist():
            reason = EXACT if duplicates.exact[number] else NEAR
            gone[number - begin] = reason, kept_ids[int(duplicates.stands_for[number])]
        languages, renamed = {}, {}
        for at, (language, identity) in enumerate(part.index() if gone or repeated else ()):
            if at in gone:
                languages[at] = language
            if at in repeated:
                renamed[at] = identities.of(begin + at, identity)
        yield _Task(part, gone, languages, renamed, settings.keep_dropped)
        begin += size


def _ids(parts: Sequence[Part], duplicates: Duplicates, identities: Identities) -> dict[int, str]:
    """Of the documents that stand for others."""
    wanted = set(np.unique(duplicates.stands_for[duplicates.gone]).tolist())
    if not wanted:
        return {}
    numbered = enumerate(identity for part in parts for _, identity in part.index())
    return {number: identities.of(number, identity) for number, identity in numbered if number in wanted}


def _without(task: _Task) -> Counts:
    """Write part.final and part.duplicates; the part's counts after that."""
    part = task.part
    counts = part.counts()
    removed = PackedLines(part.duplicates)
    if not task.gone and not task.renamed:
        removed.close()
        part.final.unlink(missing_ok=True)
        return counts
    kept = PackedLines(part.final)
    for number, line in enumerate(part.lines()):
        if number not in task.gone and number not in task.renamed:
            kept.add_line(line)
            continue
        document = Document(**json.loads(line))
        document = replace(document, id=task.renamed.get(number, document.id))
        if number not in task.gone:
            kept.add(as_record(document))
            continue
        reason, stays = task.gone[number]
        why = {"kept": stays}
        counts.move_to_dropped(document, reason, len(document.text.split()), task.languages[number], why)
        removed.add(dropped_record(document, reason, why, with_text=task.keep_dropped))
    kept.close()
    removed.close()
    return counts


class _CorpusFiles:
    """Parts appended to files of about BYTES_PER_FILE."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._entries: list[dict[str, Any]] = []
        self._documents = self._text_bytes = 0

    def add(self, part: Path, documents: int, text_bytes: int) -> None:
        """Append the packed lines of a file, to the present file or to a new one."""
        if not documents:
            return
        if self._text_bytes and self._text_bytes + text_bytes > BYTES_PER_FILE:
            self._finish()
        with self._path.open("ab" if self._documents else "wb") as file:
            _append(part, file)
        self._documents += documents
        self._text_bytes += text_bytes

    def close(self) -> list[dict[str, Any]]:
        """The manifest's entries of all files."""
        if self._documents:
            self._finish()
        return self._entries

    @property
    def _path(self) -> Path:
        return self._out / documents_name(len(self._entries))

    def _finish(self) -> None:
        self._entries.append(file_entry(self._path, self._documents, self._text_bytes))
        self._documents = self._text_bytes = 0


def _append(source: Path, file: BinaryIO) -> None:
    with source.open("rb") as part:
        shutil.copyfileobj(part, file, 1 << 20)
