"""Writes a run's tensorboard/ anew from metrics.jsonl, samples.jsonl and config.json, which are the truth.

For event files that are lost or damaged, and for runs made before a page was added. What only the event files hold,
histograms and attention maps, is taken over from the old ones as far as they can be read. Not while the run trains:
its process goes on writing into the folder that is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from jarvis_nano import runs
from jarvis_nano.observe import hparams
from jarvis_nano.observe.events import EventFile
from jarvis_nano.observe.families import Families, thin
from jarvis_nano.observe.metrics import read_metrics, read_samples
from jarvis_nano.observe.pictures import VIEW, draw_families
from jarvis_nano.observe.tags import Lang
from jarvis_nano.observe.tensorboard import PICTURES_KEPT


def rebuild(run_dir: str | Path, *, lang: Lang = "fr") -> Path:
    """Write the event files of `run_dir`/tensorboard anew, as one that takes the place of all; returns the folder.

    Curves get the steps, wall times and values of metrics.jsonl (a null becomes NaN), texts those of samples.jsonl;
    heat maps are drawn at the validations, as many as TensorBoard keeps. UserError where metrics.jsonl is missing or
    damaged; the old files are then as they were.
    """
    run_dir = Path(run_dir)
    rows = read_metrics(run_dir)
    samples = read_samples(run_dir) if (run_dir / "samples.jsonl").is_file() else []
    settings = hparams.flattened(runs.read_config(run_dir)) if (run_dir / "config.json").is_file() else None
    folder = run_dir / "tensorboard"
    old = sorted(folder.glob("events.out.tfevents.*"))
    part = run_dir / "tensorboard.part"  # not in the folder, and without `tfevents`: TensorBoard passes it over
    part.unlink(missing_ok=True)  # of a rebuild that was cut short
    events = EventFile(folder, lang=lang, began=float(rows[0]["time"]) if rows else None, part=part)
    # Void is what a TensorBoard that shows the run has read, and what stands in old files should they stay.
    events.forget_after(-1)
    if settings:
        events.hyperparameters(settings, hparams.METRICS)
    families = Families()
    pictured = _picture_steps(rows)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        step, wall_time = int(row["step"]), float(row["time"])
        events.scalars(step, wall_time, {tag: value for tag, value in row.items() if tag not in ("step", "time")})
        families.add(row)
        if step in pictured and (following is None or following["step"] != step):
            events.images(step, wall_time, draw_families(families, lang))
    for sample in samples:
        events.text(sample["step"], sample["time"], sample["tag"], sample["text"])
    for event in _only_there(old, {VIEW + name for name in families.names()}):
        events.copy(event)
    if rows and settings and rows[-1]["step"] >= float(settings["train.steps"]):
        events.finished(float(rows[-1]["time"]), True)
    events.close()
    for path in old:
        path.unlink()
    return folder


def _picture_steps(rows: list[dict[str, float]]) -> set[int]:
    """The steps of validations and the last one, thinned to what TensorBoard keeps."""
    steps = sorted({int(row["step"]) for row in rows if "eval/loss" in row} | {int(row["step"]) for row in rows[-1:]})
    return {steps[i] for i in thin(steps, PICTURES_KEPT)}


def _only_there(paths: Iterable[Path], drawn: set[str]) -> list[Event]:
    """The histograms and pictures of old event files, without the tags `drawn`, the heat maps, which are drawn anew.

    What a resumed run declared void is left out, as TensorBoard does; a damaged file is read up to the damage.
    """
    kept: list[Event] = []
    starts = 0
    for path in paths:
        for event in LegacyEventFileLoader(str(path)).Load():
            if event.session_log.status == SessionLog.START:
                starts += 1
                if starts > 1:  # the first one is a run's beginning
                    kept = [old for old in kept if old.step < event.step]
                continue
            values = [
                value
                for value in event.summary.value
                if value.WhichOneof("value") in ("histo", "image") and value.tag not in drawn
            ]
            if values:
                del event.summary.value[:]
                event.summary.value.extend(values)
                kept.append(event)
    return kept
