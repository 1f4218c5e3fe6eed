"""What a run's folder holds for the report, read without torch. Whatever is missing is left empty."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from jarvis_nano import runs
from jarvis_nano.config import read_json, to_json
from jarvis_nano.observe.diagnosis import Finding, diagnose
from jarvis_nano.observe.metrics import read_metrics, read_samples
from jarvis_nano.observe.tags import split

FAMILY_ROW = dict[str, float]
PAUSE_SECONDS = 600.0
"""A longer gap between two rows is a run that was stopped and resumed: it is not counted as training."""


@dataclass(frozen=True)
class RunData:
    """One run, as read."""

    folder: Path
    name: str
    config: runs.RunConfig
    curves: dict[str, tuple[list[int], list[float]]]
    """Tag -> steps and values, NaN where a value was not finite."""
    families: dict[str, dict[int, FAMILY_ROW]]
    """Family -> step -> member -> value."""
    samples: list[dict[str, Any]]
    findings: list[Finding]
    machine: dict[str, Any]
    seconds: float
    """From the first row to the last, pauses left out."""
    started: float
    """Time of the first row, seconds since 1970; 0 where there is none."""

    @property
    def last_step(self) -> int:
        return max((steps[-1] for steps, _ in self.curves.values()), default=0)

    def last(self, tag: str) -> float | None:
        return self.curves[tag][1][-1] if tag in self.curves else None

    def microscope(self) -> Path | None:
        path = self.folder / "microscope.html"
        return path if path.is_file() else None


def read_run(run: str | Path) -> RunData:
    """Read a run by name or folder. UserError if it is none, or where one of its files is damaged."""
    folder = runs.resolve(run)
    config = runs.read_config(folder)
    rows = read_metrics(folder) if (folder / "metrics.jsonl").is_file() else []
    curves: dict[str, tuple[list[int], list[float]]] = {}
    families: dict[str, dict[int, FAMILY_ROW]] = {}
    for row in rows:
        step = int(row["step"])
        for tag, value in row.items():
            parts = split(tag)
            if parts:
                families.setdefault(parts[0], {}).setdefault(step, {})[parts[1]] = value
            elif tag not in ("step", "time"):
                steps, values = curves.setdefault(tag, ([], []))
                steps.append(step)
                values.append(value)
    times = [row["time"] for row in rows if "time" in row]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return RunData(
        folder=folder,
        name=folder.resolve().name,
        config=config,
        curves=curves,
        families=families,
        samples=read_samples(folder) if (folder / "samples.jsonl").is_file() else [],
        findings=diagnose(rows, config.train, config.model),
        machine=_machine(folder),
        seconds=sum(gap for gap in gaps if 0 < gap < PAUSE_SECONDS),
        started=times[0] if times else 0.0,
    )


def _machine(folder: Path) -> dict[str, Any]:
    """What the run noted of where it ran: machine.json if there is one, and the commit of the latest checkpoint."""
    noted = dict(read_json(folder / "machine.json")) if (folder / "machine.json").is_file() else {}
    saved = runs.checkpoints(folder)
    if saved:
        commit = read_json(saved[-1] / "state.json").get("commit")
        if commit:
            noted["commit"] = commit
    return {name: value for name, value in noted.items() if isinstance(value, str | int | float)}


def settings(data: RunData) -> dict[str, Any]:
    """A run's configuration, flat, in the order of its dataclasses: {"preset": "nano", "model.d_model": 192, …}."""
    config = data.config
    flat: dict[str, Any] = {"preset": config.preset, "data": config.data, "tokenizer": config.tokenizer_hash[:12]}
    if config.tuned_from:
        flat["tuned_from"] = config.tuned_from
    for part in ("model", "train"):
        flat |= {f"{part}.{name}": value for name, value in to_json(getattr(config, part)).items()}
    return flat
