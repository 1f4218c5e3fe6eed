"""prepare_corpus: files of any kind to a corpus folder, streaming, on all cores, gone on with after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jarvis_nano.corpus.documents import FORMAT, MANIFEST, VERSION, write_json
from jarvis_nano.corpus.preparing import report
from jarvis_nano.corpus.preparing.cleaning import Cleaner, Outcome
from jarvis_nano.corpus.preparing.counts import Counts
from jarvis_nano.corpus.preparing.finishing import REPORT, find_duplicates, write_documents
from jarvis_nano.corpus.preparing.parts import Part
from jarvis_nano.corpus.preparing.progress import Meter
from jarvis_nano.corpus.preparing.settings import Settings, require
from jarvis_nano.corpus.preparing.units import Inspection, Seen, Unit, inspect, plan, unreadable
from jarvis_nano.corpus.preparing.workers import Workers
from jarvis_nano.corpus.sources import Damage, Input, Options, list_files
from jarvis_nano.corpus.writing import folder_beside, living_writers
from jarvis_nano.errors import UserError

WORK = "work"
PROGRESS = "progress.json"


def prepare_corpus(
    paths: Iterable[Path | str],
    out: Path | str,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    *,
    licence: str = "",
    processes: int | None = None,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Write the corpus folder `out` (all or nothing) and return its manifest.

    The same files and settings give the same bytes, whatever the number of processes (None: the cores this process
    may use). What a kill, a Ctrl-C or a full disk leaves beside `out` is gone on with by the same command on the same
    machine; a pipe among the inputs cannot be. A complete `out` made from the same is left as it is. Damaged records
    are skipped and counted. Memory: per process a unit and the language models; in the end 430 bytes a
    document, of which 240 are mapped from the disk.
    UserError for inputs that are missing, empty or of no known kind, where `out` is taken, or where nothing is kept;
    Resumable where an input changed meanwhile, or a process was killed.
    """
    out = Path(out)
    if processes is not None and processes < 1:
        raise UserError(f"{processes} processes; expected 1 or more")
    processes = processes or len(os.sched_getaffinity(0))
    settings.check()
    with Meter(show_progress) as meter:
        inspections = _inspect(paths, out, settings.options, meter)
        made_from = _made_from(inspections, settings, licence)
        if finished := _finished(out, made_from):
            meter.say(f"{out} is complete already")
            return finished
        return _write(out, _Job(inspections, settings, licence, made_from, processes), meter)


@dataclass(frozen=True)
class _Job:
    inspections: list[Inspection]
    settings: Settings
    licence: str
    made_from: str | None
    processes: int

    def can_go_on(self, folder: Path) -> bool:
        """Whether an earlier process worked in `folder` at the same."""
        if self.made_from is None:
            return False
        return _stored(folder) == self.made_from or _finished(folder, self.made_from) is not None


def _write(out: Path, job: _Job, meter: Meter) -> dict[str, Any]:
    if others := living_writers(out):
        raise UserError(f"another process is writing {out}; wait for it, or, if none is, remove {others[0]}")
    with folder_beside(out, can_go_on=job.can_go_on) as folder:
        manifest = _finished(folder, job.made_from)
        if manifest is None:
            _replace_json(folder / PROGRESS, {"made_from": job.made_from})
            try:
                manifest = _make(folder, job, meter)
            except KeyboardInterrupt as interrupt:
                how = "the same command goes on from here" if job.made_from else "a pipe has to be read from its start"
                raise KeyboardInterrupt(f"interrupted; {how}") from interrupt
        shutil.rmtree(folder / WORK, ignore_errors=True)
        (folder / PROGRESS).unlink(missing_ok=True)
    return manifest


def _make(folder: Path, job: _Job, meter: Meter) -> dict[str, Any]:
    """All that `folder` is to hold, beside its parts; the manifest comes last: where it is, everything is."""
    work, settings = folder / WORK, job.settings
    work.mkdir(exist_ok=True)
    with Workers(job.processes, _start, work, settings) as workers:
        parts = _make_parts(job.inspections, settings, work, workers, meter)
        duplicates = find_duplicates(parts, settings, work, meter.stage)
        files, counts = write_documents(parts, duplicates, folder, settings, workers, meter.stage)
    if not files:
        raise UserError(_nothing_kept(counts))
    manifest = _manifest(job, files, counts)
    report.write(folder / REPORT, manifest, counts)
    _replace_json(folder / MANIFEST, manifest)
    return manifest


def _replace_json(path: Path, value: object) -> None:
    """Written whole, or not at all: a kill leaves no half of it."""
    beside = path.with_name(f"{path.name}.partial")
    write_json(beside, value)
    beside.replace(path)


def _inspect(paths: Iterable[Path | str], out: Path, options: Options, meter: Meter) -> list[Inspection]:
    entries = _not_below(out, list_files(paths))
    meter.begin("looking at the inputs", len(entries))
    found = []
    for entry in entries:
        try:
            found.append(inspect(entry, options))
        except UserError:
            if len(entries) == 1 or not entry.path.is_file():  # a pipe cannot be read again
                raise
            found.append(unreadable(entry))  # reading it says why, and counts it as damaged
        meter.advance(1)
    if any(one.format == "parquet" for one in found):
        require("pyarrow", "reads Parquet", "leave these files out")
    return found


def _not_below(out: Path, entries: list[Input]) -> list[Input]:
    """An output inside an input folder is none of the inputs when the command is given again."""
    place = out.resolve()
    return [entry for entry in entries if place not in entry.path.resolve().parents] or entries


def _made_from(inspections: list[Inspection], settings: Settings, licence: str) -> str | None:
    """All that the corpus depends on, as a hash; None where an input cannot be read a second time."""
    if any(found.sha256 is None for found in inspections):
        return None
    inputs = [[found.entry.name, found.sha256] for found in inspections]
    return hashlib.sha256(json.dumps([inputs, settings.as_json(), licence]).encode()).hexdigest()


def _stored(folder: Path) -> str | None:
    try:
        return json.loads((folder / PROGRESS).read_text(encoding="utf-8"))["made_from"]
    except (OSError, ValueError, KeyError, TypeError):  # nothing there, or half of it: then one begins anew
        return None


def _finished(out: Path, made_from: str | None) -> dict[str, Any] | None:
    """The manifest of a corpus that is complete, and made from the same."""
    if made_from is None:
        return None
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("made_from") == made_from else None


@dataclass
class _State:
    """What a worker process keeps between its units."""

    work: Path
    settings: Settings
    cleaner: Cleaner


_state: _State | None = None


def _start(work: Path, settings: Settings) -> None:
    global _state
    _state = _State(work, settings, Cleaner(settings))


def _make_parts(
    inspections: list[Inspection], settings: Settings, work: Path, workers: Workers, meter: Meter
) -> list[Part]:
    """The parts of this shard's units, those that are there already as they are."""
    parts: list[Part] = []
    shard, n_shards = settings.shard

    def missing() -> Iterator[Unit]:
        for unit in plan(inspections, settings.unit_bytes):
            if unit.number % n_shards == shard:
                part = Part(work, unit.number)
                parts.append(part)
                if not part.is_complete:
                    yield unit
                    continue
            meter.advance(unit.size, done_before=True)

    meter.begin("cleaning", sum(found.size for found in inspections) or None, in_bytes=True)
    for size, n_read, n_kept in workers.map(_make_part, missing()):
        meter.advance(size)
        meter.count(read=n_read, kept=n_kept)
    return parts


def _make_part(unit: Unit) -> tuple[int, int, int]:
    """Read, clean and judge a unit's documents; (size of the unit, documents read, kept)."""
    assert _state is not None
    settings, cleaner = _state.settings, _state.cleaner
    part, counts = Part(_state.work, unit.number), Counts()
    seen = Seen(Counter(), Counter())
    part.clear()

    with part.damaged.open("w", encoding="utf-8") as damaged:

        def on_damage(found: Damage) -> None:
            counts["damaged"][found.place] += 1
            record = {"place": found.place, "where": found.where, "why": found.why}
            damaged.write(json.dumps(record, ensure_ascii=False) + "\n")

        def outcomes() -> Iterator[Outcome]:
            for document, file_format in unit.read(settings.options, on_damage, seen):
                counts.add_read(len(document.utf8))
                yield cleaner.clean(document, file_format, counts)
            counts["passed_over"].update(seen.passed_over)
            counts.add_templates(seen.unknown_templates)

        part.write(outcomes(), counts, near=settings.duplicates == "near", keep_dropped=settings.keep_dropped)
    unit.check_unchanged()
    part.complete(counts)
    return unit.size, counts["documents"]["read"], counts["documents"]["kept"]


def _nothing_kept(counts: Counts) -> str:
    if not counts["documents"]["read"]:
        damaged = sum(counts["damaged"].values())
        return f"no document was found in the input ({damaged} damaged records); nothing is written"
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts["reasons"].most_common(5))
    return f"no document was kept of {counts['documents']['read']} ({reasons}); loosen the settings"


def _manifest(job: _Job, files: list[dict[str, Any]], counts: Counts) -> dict[str, Any]:
    figures = counts.as_json()
    return {
        "format": FORMAT,
        "version": VERSION,
        "documents": sum(file["documents"] for file in files),
        "text_bytes": sum(file["text_bytes"] for file in files),
        "sha256": hashlib.sha256("".join(file["sha256"] for file in files).encode()).hexdigest(),
        "made_from": job.made_from,
        "licence": job.licence,
        "settings": job.settings.as_json(),
        "inputs": [_input(found) for found in job.inspections],
        "counts": {
            "read": figures["documents"].get("read", 0),
            "kept": figures["documents"].get("kept", 0),
            **{name: figures[name] for name in ("reasons", "damaged", "passed_over", "masked", "languages")},
        },
        "sources": {name: {"documents": n, "text_bytes": size} for name, (n, size) in figures["sources"].items()},
        "files": files,
    }


def _input(found: Inspection) -> dict[str, Any]:
    entry = {"name": found.entry.name, "bytes": found.size, "sha256": found.sha256, "format": found.format}
    return entry | ({"licence": found.entry.licence} if found.entry.licence else {})
