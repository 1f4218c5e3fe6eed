"""Where the time of a training step goes: a trace of a few steps and a table of the costliest operations.

Not for timing a run: recording slows the steps that are recorded.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import torch
from torch.profiler import ProfilerActivity, profile, schedule


class StepProfiler:
    """Records `n_steps` steps of a run, once; a context manager around the loop.

        with StepProfiler(run, n_steps=3) as profiler:
            for step in range(first, last):
                ...
                profiler.step(step)

    Writes profile/step_000042.json.gz, the first recorded step's number in its name, for https://ui.perfetto.dev or
    chrome://tracing, and a table step_000042.txt beside it. The first `wait` steps, which allocate and compile, are
    left out, and so are the next `warm_up`, during which the profiler itself starts. `n_steps` 0: does nothing.
    A run that ends before writes what was recorded until then.
    """

    def __init__(self, run_dir: str | Path, n_steps: int, *, wait: int = 5, warm_up: int = 2) -> None:
        self._folder = Path(run_dir) / "profile"
        self._n_steps, self._wait, self._warm_up = n_steps, wait, warm_up
        self._profile: profile | None = None
        self._seen = 0
        self._first: int | None = None
        self.written: Path | None = None
        """The trace, once it is there."""

    def __enter__(self) -> StepProfiler:
        if self._n_steps > 0:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._profile = profile(
                activities=activities,
                schedule=schedule(wait=self._wait, warmup=self._warm_up, active=self._n_steps, repeat=1),
                on_trace_ready=self._write,
                record_shapes=True,
            )
            self._profile.__enter__()
        return self

    def step(self, step: int) -> None:
        """After each step: `step` of them are done in all, those before a resume included."""
        if self._profile is None:
            return
        self._seen += 1
        if self._seen == self._wait + self._warm_up:
            self._first = step + 1
        self._profile.step()
        if self._seen == self._wait + self._warm_up + self._n_steps:
            self._stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        running, self._profile = self._profile, None
        if running is not None:
            running.__exit__(None, None, None)

    def _write(self, recorded: profile) -> None:
        if self._first is None:  # ended while warming up: nothing is in it
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"step_{self._first:06d}.json.gz"
        beside = path.with_name(f"{path.name}.part.gz")  # torch compresses what ends in .gz
        recorded.export_chrome_trace(str(beside))
        beside.replace(path)
        device = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = recorded.key_averages(group_by_input_shape=False).table(sort_by=device, row_limit=30)
        last = self._first + self._n_steps - 1
        heading = f"The 30 costliest operations of steps {self._first} to at most {last}, by their own time\n"
        path.with_name(f"step_{self._first:06d}.txt").write_text(heading + table + "\n", encoding="utf-8")
        self.written = path
