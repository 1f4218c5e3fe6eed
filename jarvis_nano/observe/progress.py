"""The live line of a training run on stderr: a bar on a terminal, a plain line now and then in a log or a pipe.

Also the peak speed of the machine in matrix products, the denominator of model FLOP utilisation.
"""

from __future__ import annotations

import functools
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    import torch

# Dense bfloat16 peaks with float32 accumulation in FLOP/s, from NVIDIA's and AMD's data sheets (the figures "with
# sparsity" halved). The first name found in the device's name counts, so the longer names come first.
PEAK_BFLOAT16 = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "GH200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "MI300X": 1307e12,
}

MIN_BAR_WIDTH = 8


class TrainingDisplay:
    """Shows how far training is, as a context manager; everything goes to stderr.

    On a terminal: a bar with loss, tokens per second, time left, model FLOP utilisation and learning rate. Anywhere
    else: a plain line for the first update, one every `log_seconds`, one for the last step, without control codes.
    """

    def __init__(
        self,
        total_steps: int,
        start_step: int = 0,
        *,
        console: Console | None = None,
        log_seconds: float = 30.0,
    ) -> None:
        """`start_step`: the steps done already when a run resumes; the time left is judged by the steps since."""
        self._total = total_steps
        self._start = start_step
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._log_seconds = log_seconds
        self._began = time.monotonic()
        self._logged: float | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> TrainingDisplay:
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.completed}/{task.total}", table_column=Column(no_wrap=True)),
                BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=MIN_BAR_WIDTH)),
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                console=self._console,
                refresh_per_second=4,
                expand=True,
                # Results belong to stdout: rich must not redirect them to this console.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("", total=self._total, completed=self._start)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def update(
        self,
        step: int,
        *,
        loss: float,
        tokens_per_second: float,
        flop_utilisation: float | None = None,
        learning_rate: float | None = None,
    ) -> None:
        """`step` steps are done. Rates are of the last interval; `flop_utilisation` is a share of the peak, 0 to 1."""
        facts = [f"loss {loss:.3f}", f"{_thousands(tokens_per_second)} tokens/s"]
        left = self._seconds_left(step)
        if left is not None:
            facts.append(f"{duration(left)} left")
        if flop_utilisation is not None:
            facts.append(f"MFU {flop_utilisation:.0%}")
        if learning_rate is not None:
            facts.append(f"lr {learning_rate:.1e}")
        if self._bar:
            # On a narrow terminal the last facts go; they come in the order of their weight.
            room = self._console.width - len(f"{step}/{self._total}") - len("  ") - MIN_BAR_WIDTH
            while len(facts) > 1 and len(" · ".join(facts)) > room:
                facts.pop()
            self._bar.update(self._task, completed=step, description=" · ".join(facts))
        elif self._is_due(step):
            self._print(f"step {step}/{self._total} · " + " · ".join(facts))

    def note(self, text: str) -> None:
        """Print a line of its own (a validation result, a sample), above the bar where there is one."""
        self._print(text)

    def _print(self, text: str) -> None:
        # As rich.Text and without soft wrap: brackets in a model's text are not markup, and a log keeps its lines.
        self._console.print(Text(text), soft_wrap=True)

    def _is_due(self, step: int) -> bool:
        now = time.monotonic()
        if self._logged is not None and now - self._logged < self._log_seconds and step < self._total:
            return False
        self._logged = now
        return True

    def _seconds_left(self, step: int) -> float | None:
        done = step - self._start
        if done <= 0:
            return None
        return (time.monotonic() - self._began) / done * max(self._total - step, 0)


def duration(seconds: float) -> str:
    """Seconds as 42 s, 3 min 05 s or 2 h 07 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _thousands(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.2f} M"


def measure_peak_flops(device: torch.device | str, dtype: torch.dtype) -> float:
    """The most FLOP/s that `device` makes in matrix products of `dtype`, the denominator of model FLOP utilisation.

    For a GPU of PEAK_BFLOAT16 and a 16-bit dtype the data sheet's; otherwise measured with torch.mm, in about 0.2 s and
    once a process: call it while nothing else runs. On a CPU it is the speed of the threads that torch may use now.
    """
    import torch

    device = torch.device(device)
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        known = _data_sheet_peak(torch.cuda.get_device_name(device))
        if known is not None:
            return known
    return _measured_peak(device, dtype)


def _data_sheet_peak(name: str) -> float | None:
    words = name.replace("-", " ").split()
    if {"MIG", "Laptop", "D"} & set(words):  # a slice, or a slower card of the same name
        return None
    for model, peak in PEAK_BFLOAT16.items():
        wanted = model.split()
        if all(word in words for word in wanted):
            return peak
    return None


@functools.cache
def _measured_peak(device: torch.device, dtype: torch.dtype, budget: float = 0.3) -> float:
    """Best of the square matrix products made in `budget` seconds, at a size where one takes about 1 ms or more."""
    import torch

    n, began = 256, time.perf_counter()
    x = torch.ones(n, n, device=device, dtype=dtype)
    peak, tries = 0.0, 0
    while tries < 3 or time.perf_counter() - began < budget:
        start = time.perf_counter()
        torch.mm(x, x)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        took = time.perf_counter() - start
        peak = max(peak, 2.0 * n**3 / took)
        tries += 1  # the first of a size pays for thread pools, library handles and memory
        # Not longer than needed: a short product finds a moment when no other program has the core.
        if tries >= 3 and took < 1e-3 and n < 16384:
            n, tries = 2 * n, 0
            x = torch.ones(n, n, device=device, dtype=dtype)
    return peak
