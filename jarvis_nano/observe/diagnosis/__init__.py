"""What is wrong with a training, in plain French and English, from its metrics alone.

A live run feeds its rows as it writes them, a report reads them back: the same rules, the same findings.

    for finding in diagnosis.feed(step, {"train/loss": 5.1, …}):
        print(diagnosis.line(finding))
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.observe.diagnosis.finding import SEVERITIES, Evidence, Finding, Severity
from jarvis_nano.observe.diagnosis.history import History
from jarvis_nano.observe.diagnosis.rules import RULES
from jarvis_nano.observe.lines import JsonLines, read_lines
from jarvis_nano.observe.tags import Lang

__all__ = ["FILE", "Diagnosis", "Evidence", "Finding", "FindingsFile", "Severity", "diagnose", "read_findings"]

FILE = "diagnosis.jsonl"


class Diagnosis:
    """Watches one run. A finding is told once, and again only if it ended for a while and came back."""

    def __init__(self, config: TrainConfig, model: ModelConfig, lang: Lang = "fr") -> None:
        self.lang = lang
        self.history = History(config, model)
        self.findings: list[Finding] = []
        """All so far, oldest first, each with the last step at which it still held."""
        self._active: dict[str, int] = {}  # rule -> index of its finding

    def feed(self, step: int, values: Mapping[str, float]) -> list[Finding]:
        """Take one row of metrics (tag -> number; `step` and `time` in it are passed over); return what is new.

        Numbers that are not finite may be given as they are, or as NaN: both read the same.
        """
        arrived = self.history.add(step, values)
        new = []
        for rule in RULES:
            if arrived.isdisjoint(rule.needs):
                continue
            seen = rule.look(self.history)
            index = self._active.get(rule.name)
            if seen and index is not None:
                self.findings[index] = dataclasses.replace(self.findings[index], last_step=step)
            elif seen:
                finding = Finding(rule.name, rule.severity, seen.since, step, seen.evidence, rule.source)
                self._active[rule.name] = len(self.findings)
                self.findings.append(finding)
                new.append(finding)
            elif index is not None and step - self.findings[index].last_step > self.history.patience:
                del self._active[rule.name]
        return new

    def holding(self) -> list[Finding]:
        """The findings that have not ended, oldest first."""
        return [self.findings[index] for index in sorted(self._active.values())]

    def line(self, finding: Finding) -> str:
        """The finding as a line for the console, in this diagnosis' language."""
        kind = SEVERITIES[finding.severity][self.lang == "en"]
        step, colon = ("pas", " : ") if self.lang == "fr" else ("step", ": ")
        return f"{kind}, {step} {finding.last_step}{colon}{finding.text(self.lang)}"


def diagnose(rows: Iterable[Mapping[str, float]], config: TrainConfig, model: ModelConfig) -> list[Finding]:
    """The findings of a whole run, from read_metrics' rows, oldest first."""
    diagnosis = Diagnosis(config, model)
    for row in rows:
        diagnosis.feed(int(row["step"]), row)
    return diagnosis.findings


class FindingsFile:
    """Appends findings to `run_dir`/diagnosis.jsonl, one write a line, as metrics.jsonl is written.

    A line is `{"step", "time", "rule", "severity", "from_step", "evidence": [{"tag", "value", "threshold", "steps"}],
    "source", "text": {"fr", "en"}}`; `step` is the one at which it was told.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self._lines = JsonLines(Path(run_dir) / FILE)

    def append(self, finding: Finding) -> None:
        line: dict[str, Any] = finding.to_json()
        texts = {"fr": finding.text("fr"), "en": finding.text("en")}
        self._lines.append({"step": line.pop("step"), "time": round(time.time(), 3), **line, "text": texts})

    def truncate(self, step: int) -> None:
        """Forget what was told after `step`, the step a run resumes from; -1: all."""
        self._lines.truncate(step)

    def close(self) -> None:
        self._lines.close()


def read_findings(run_dir: str | Path) -> list[Finding]:
    """What a run was told, oldest first, as it was told; empty where the run has no diagnosis.jsonl."""
    path = Path(run_dir) / FILE
    return [Finding.from_json(line) for line in read_lines(path)] if path.is_file() else []
