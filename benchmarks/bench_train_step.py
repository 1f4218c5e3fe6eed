"""One whole training step on the CPU: forward, loss, backward, clipping, AdamW. The peers: step_peers.py.

    pytest benchmarks/bench_train_step.py --benchmark-only
    JARVIS_NANO_BENCH=all pytest benchmarks/bench_train_step.py --benchmark-only     # also torch.compile, transformers

In turns within one process all have our setting of the allocator (docs/training.md); in turns between processes eager
has glibc's own, as a user of plain torch has it, and ours its own again, or glibc's too.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import pytest
import step_peers
import torch
from conftest import compete, ratios, speed
from step_process import StepProcess

from jarvis_nano.training.allocator import keep_freed_memory

RIVALS = ("eager", "products", *(("compile", "transformers") if os.environ.get("JARVIS_NANO_BENCH") == "all" else ()))
MEMORY_STEPS = 4


def seconds_of(step: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        began = time.perf_counter()
        step()
        return time.perf_counter() - began

    return timed


def record(benchmark, times: dict[str, list[float]], size: str) -> None:
    benchmark.extra_info.update(ratios(times), threads=torch.get_num_threads())
    benchmark.extra_info.update(speed(statistics.median(times["ours"]), flops=step_peers.flops(size)))


@pytest.mark.parametrize("size", step_peers.SIZES)
def test_step_with_the_same_allocator(benchmark, size):
    keep_freed_memory()
    peers = {name: seconds_of(step_peers.PEERS[name](size)) for name in (*RIVALS, "ours")}
    record(benchmark, compete(benchmark, peers), size)


@pytest.mark.parametrize("size", step_peers.SIZES)
def test_step_with_glibc_own_allocator(benchmark, size):
    n = torch.get_num_threads()
    with (
        StepProcess("eager", size, keep=False, threads=n) as eager,
        StepProcess("ours", size, keep=False, threads=n) as plain,
        StepProcess("ours", size, keep=True, threads=n) as ours,
    ):
        record(
            benchmark,
            compete(benchmark, {"eager": eager.step, "ours_without_setting": plain.step, "ours": ours.step}),
            size,
        )


@pytest.mark.parametrize("size", step_peers.SIZES)
def test_peak_memory(benchmark, size):
    """MB beyond what the imports hold, after some steps: weights, moments, gradients, activations, scratch."""
    peak = {}
    for peer, keep in (("ours", True), ("ours", False), ("eager", False), ("eager", True)):
        with StepProcess(peer, size, keep=keep, threads=torch.get_num_threads()) as process:
            for _ in range(MEMORY_STEPS):
                process.step()
            peak[peer, keep] = process.ask("memory")["peak"]
            if (peer, keep) == ("ours", True):
                benchmark.pedantic(process.step, rounds=1)
    benchmark.extra_info.update(
        peak_MB=round(peak["ours", True]),
        peak_MB_without_setting=round(peak["ours", False]),
        eager_peak_MB=round(peak["eager", False]),
        eager_peak_MB_with_setting=round(peak["eager", True]),
        of_eager_memory=round(peak["ours", True] / peak["eager", False], 3),
    )
