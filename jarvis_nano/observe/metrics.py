"""What a run measures, on disk: metrics.jsonl is the truth, samples.jsonl keeps texts, TensorBoard mirrors both.

Not for evaluating anything: the numbers come from the caller. In a distributed run only rank 0 makes a Metrics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jarvis_nano.errors import UserError
from jarvis_nano.observe.lines import JsonLines, read_lines
from jarvis_nano.observe.tags import Lang

if TYPE_CHECKING:
    import numpy as np
    import torch

    from jarvis_nano.observe.events import EventFile
    from jarvis_nano.observe.families import Families
    from jarvis_nano.observe.hparams import Setting


class Metrics:
    """Appends to `run_dir`/metrics.jsonl and samples.jsonl, and to the event files under `run_dir`/tensorboard/.

    A line of metrics.jsonl is `{"step": 10, "time": 1796000000.123, "train/loss": 5.1, …}`: tag -> number, and `time`
    in seconds since 1970. It is written with one system call, so a killed process loses at most the line being
    written; such a half line is dropped when the file is next opened. JSON has no NaN: a value that is not finite is
    written as null (TensorBoard shows which it was).

    A tag with two or more slashes is a member of a family (observe/tags.py): TensorBoard has it in `heat_maps` alone.
    """

    def __init__(self, run_dir: str | Path, *, tensorboard: bool = True, lang: Lang = "fr") -> None:
        """Open the run's files for appending, mending a half-written last line; makes the folder if it is missing.

        `lang`: of the titles of charts and pictures in TensorBoard.
        """
        run_dir = Path(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        self._metrics = JsonLines(run_dir / "metrics.jsonl")
        self._samples = JsonLines(run_dir / "samples.jsonl")
        self._run_dir, self._lang = run_dir, lang
        self._events: EventFile | None = None
        self._families: Families | None = None  # read from the file when first drawn, then kept up
        if tensorboard:
            from jarvis_nano.observe.events import EventFile  # here: it costs 0.3 s that --no-tensorboard need not pay

            self._events = EventFile(run_dir / "tensorboard", lang=lang)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record one number per tag: one line of metrics.jsonl, one point of each curve.

        Values are Python or numpy numbers, or 0-d tensors; a tensor on a GPU costs a synchronisation each, so copy a
        whole interval's numbers to the host at once before calling.
        """
        now = round(time.time(), 3)
        numbers = {tag: float(value) for tag, value in values.items()}
        line: dict[str, Any] = {"step": int(step), "time": now}
        line.update((tag, _strict(values[tag], number)) for tag, number in numbers.items())
        self._metrics.append(line)
        if self._families is not None:
            self._families.add({"step": step, **numbers})
        if self._events:
            self._events.scalars(step, now, numbers)

    def text(self, step: int, tag: str, text: str) -> None:
        """Record a text, such as a sample of the model: one line `{"step", "time", "tag", "text"}` of samples.jsonl."""
        now = round(time.time(), 3)
        self._samples.append({"step": int(step), "time": now, "tag": tag, "text": text})
        if self._events:
            self._events.text(step, now, tag, text)

    def markdown(self, step: int, tag: str, text: str) -> None:
        """Show finished Markdown on TensorBoard's page Text; what it is made from is kept elsewhere."""
        if self._events:
            self._events.markdown(step, time.time(), tag, text)

    @property
    def has_tensorboard(self) -> bool:
        return self._events is not None

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

    def heat_maps(self, step: int) -> None:
        """Draw every family up to now, in TensorBoard only: rows the members, columns the steps, colour the value."""
        if not self._events:
            return
        from jarvis_nano.observe.families import Families
        from jarvis_nano.observe.pictures import draw_families

        if self._families is None:
            self._families = Families()
            for row in read_metrics(self._run_dir):
                self._families.add(row)
        self._events.images(step, time.time(), draw_families(self._families, self._lang))

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Record pictures, uint8 (H, W, 3) each, in TensorBoard only, as `view/<tag>`.

        ValueError for another shape or type, or for more than 4 million pixels.
        """
        if self._events:
            self._events.images(step, time.time(), pictures)

    def hyperparameters(self, settings: Mapping[str, Setting], metrics: Sequence[str] = ()) -> None:
        """Record the run's settings (hparams.flattened) for the page HParams, in TensorBoard only.

        `metrics`: the curves whose last values stand beside the settings; hparams.METRICS if empty. Once, at the
        start: the page takes its columns from the first run that it finds.
        """
        if self._events:
            from jarvis_nano.observe.hparams import METRICS

            self._events.hyperparameters(settings, metrics or METRICS)

    def finished(self, *, success: bool = True) -> None:
        """Note on the page HParams that the run ended. Not for one that will be resumed: the first note stays."""
        if self._events:
            self._events.finished(time.time(), success)

    def truncate(self, step: int) -> None:
        """Forget everything recorded after `step`, the step a run resumes from; truncate(-1) forgets all.

        The files are rewritten beside themselves and renamed into place; TensorBoard is told to drop the same points.
        """
        self._metrics.truncate(step)
        self._samples.truncate(step)
        self._families = None
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
    path = Path(run_dir) / "metrics.jsonl"
    rows = [{tag: math.nan if value is None else value for tag, value in row.items()} for row in read_lines(path)]
    for number, row in enumerate(rows, start=1):
        for tag, value in row.items():
            if not isinstance(value, int | float):
                raise UserError(f"{path}, line {number}: {tag} is {value!r:.60}, expected a number; delete that line")
    return rows


def read_samples(run_dir: str | Path) -> list[dict[str, Any]]:
    """The texts of a run, oldest first: `{"step", "time", "tag", "text"}` each. UserError as for read_metrics."""
    path = Path(run_dir) / "samples.jsonl"
    rows = read_lines(path)
    for number, row in enumerate(rows, start=1):
        if not (isinstance(row.get("tag"), str) and isinstance(row.get("text"), str)):
            raise UserError(f"{path}, line {number}: expected a `tag` and a `text`; delete that line")
    return rows


def series(rows: list[dict[str, float]], tag: str) -> tuple[list[int], list[float]]:
    """One curve of read_metrics' rows: the steps at which `tag` was recorded, and its values."""
    points = [(int(row["step"]), row[tag]) for row in rows if tag in row]
    return [step for step, _ in points], [value for _, value in points]


def _strict(value: Any, number: float) -> int | float | None:
    """A number as strict JSON can hold it: whole numbers stay whole, NaN and infinities become null."""
    if isinstance(value, int):
        return int(value)
    return number if math.isfinite(number) else None
