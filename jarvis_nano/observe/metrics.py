"""What a run measures, on disk: metrics.jsonl is the truth, samples.jsonl keeps texts, TensorBoard mirrors both.

Not for evaluating anything: the numbers come from the caller. In a distributed run only rank 0 makes a Metrics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jarvis_nano.observe.lines import JsonLines, read_lines

if TYPE_CHECKING:
    import torch

    from jarvis_nano.observe.events import EventFile


class Metrics:
    """Appends to `run_dir`/metrics.jsonl and samples.jsonl, and to the event files under `run_dir`/tensorboard/.

    A line of metrics.jsonl is `{"step": 10, "time": 1796000000.123, "train/loss": 5.1, …}`: tag -> number, and `time`
    in seconds since 1970. It is written with one system call, so a killed process loses at most the line being
    written; such a half line is dropped when the file is next opened. JSON has no NaN: a value that is not finite is
    written as null (TensorBoard shows which it was).
    """

    def __init__(self, run_dir: str | Path, *, tensorboard: bool = True) -> None:
        """Open the run's files for appending, mending a half-written last line; makes the folder if it is missing."""
        run_dir = Path(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        self._metrics = JsonLines(run_dir / "metrics.jsonl")
        self._samples = JsonLines(run_dir / "samples.jsonl")
        self._events: EventFile | None = None
        if tensorboard:
            from jarvis_nano.observe.events import EventFile  # here: it costs 0.3 s that --no-tensorboard need not pay

            self._events = EventFile(run_dir / "tensorboard")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record one number per tag: one line of metrics.jsonl, one point of each curve.

        Values are Python or numpy numbers, or 0-d tensors; a tensor on a GPU costs a synchronisation each, so copy a
        whole interval's numbers to the host at once before calling.
        """
        now = time.time()
        numbers = {tag: float(value) for tag, value in values.items()}
        line: dict[str, Any] = {"step": int(step), "time": round(now, 3)}
        line.update((tag, _strict(values[tag], number)) for tag, number in numbers.items())
        self._metrics.append(line)
        if self._events:
            self._events.scalars(step, now, numbers)

    def text(self, step: int, tag: str, text: str) -> None:
        """Record a text, such as a sample of the model: one line `{"step", "time", "tag", "text"}` of samples.jsonl."""
        now = time.time()
        self._samples.append({"step": int(step), "time": round(now, 3), "tag": tag, "text": text})
        if self._events:
            self._events.text(step, now, tag, text)

    def histograms(self, step: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Record the distribution of each tensor's values (any shape, dtype, device), in TensorBoard only.

        Values that are not finite cannot be drawn: they are left out, and their number becomes the scalar
        `histograms/non_finite` of this step.
        """
        if not self._events:
            return
        non_finite = self._events.histograms(step, time.time(), tensors)
        if non_finite:
            self.scalars(step, {"histograms/non_finite": non_finite})

    def truncate(self, step: int) -> None:
        """Forget everything recorded after `step`, the step a run resumes from; truncate(-1) forgets all.

        The files are rewritten beside themselves and renamed into place; TensorBoard is told to drop the same points.
        """
        self._metrics.truncate(step)
        self._samples.truncate(step)
        if self._events:
            self._events.forget_after(step)

    def close(self) -> None:
        """Close the files. Everything is on disk already: each call flushes what it wrote."""
        self._metrics.close()
        self._samples.close()
        if self._events:
            self._events.close()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_metrics(run_dir: str | Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl, oldest first, while it is being written too; null is read back as NaN.

    A half-written last line is left out. UserError if the file is missing or another line is damaged.
    """
    rows = read_lines(Path(run_dir) / "metrics.jsonl")
    return [{tag: math.nan if value is None else value for tag, value in row.items()} for row in rows]


def read_samples(run_dir: str | Path) -> list[dict[str, Any]]:
    """The texts of a run, oldest first: `{"step", "time", "tag", "text"}` each. UserError as for read_metrics."""
    return read_lines(Path(run_dir) / "samples.jsonl")


def series(rows: list[dict[str, float]], tag: str) -> tuple[list[int], list[float]]:
    """One curve of read_metrics' rows: the steps at which `tag` was recorded, and its values."""
    points = [(int(row["step"]), row[tag]) for row in rows if tag in row]
    return [step for step, _ in points], [value for _, value in points]


def _strict(value: Any, number: float) -> int | float | None:
    """A number as strict JSON can hold it: whole numbers stay whole, NaN and infinities become null."""
    if isinstance(value, int):
        return int(value)
    return number if math.isfinite(number) else None
