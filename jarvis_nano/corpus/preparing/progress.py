"""The progress of preparing, on a terminal: a bar a stage, documents kept so far, what is said once."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class Meter:
    """Stages one after the other; on stderr, and only where that is a terminal."""

    def __init__(self, shown: bool) -> None:
        self._console = Console(stderr=True, quiet=not shown)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._read = self._kept = 0

    def begin(self, stage: str, total: int | None, *, in_bytes: bool = False) -> None:
        """Start a stage of `total` steps, or bytes; None where that cannot be known."""
        self._end()
        amount: list[ProgressColumn] = [DownloadColumn(), TransferSpeedColumn()] if in_bytes else [MofNCompleteColumn()]
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *amount]
        columns += [TextColumn("{task.fields[kept]}"), TimeElapsedColumn(), TimeRemainingColumn()]
        self._progress = Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        self._progress.start()
        self._task = self._progress.add_task(stage, total=total, kept="")
        self._stage = stage

    def stage(self, stage: str, done: int, of: int) -> None:
        """`done` of `of` steps of a stage, begun if it is another one than before."""
        if stage != self._stage:
            self.begin(stage, of)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done)

    def advance(self, steps: int, *, done_before: bool = False) -> None:
        """done_before: by a process that went before this one, which does not count for the time remaining."""
        if self._progress is None or self._task is None:
            return
        if done_before:
            task = self._progress.tasks[self._task]
            self._progress.update(self._task, total=None if task.total is None else max(0, task.total - steps))
        else:
            self._progress.advance(self._task, steps)

    def count(self, *, read: int, kept: int) -> None:
        """More documents were read, and kept."""
        self._read, self._kept = self._read + read, self._kept + kept
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, kept=f"{self._kept:,} of {self._read:,} documents kept")

    def say(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False, soft_wrap=True)

    def _end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
