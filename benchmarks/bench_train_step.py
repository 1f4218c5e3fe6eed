"""One whole training step on the CPU: forward, loss, backward, clipping, AdamW. The peers: step_peers.py.

    pytest benchmarks/bench_train_step.py --benchmark-only
    JARVIS_NANO_BENCH=all pytest benchmarks/bench_train_step.py --benchmark-only     # also torch.compile, transformers

In turns within one process all have our setting of the allocator (docs/training.md); in turns between processes eager
has glibc's own, as a user of plain torch has it, and ours its own; with "all" also glibc's.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable

import pytest
import step_peers
import torch
from conftest import compete, ratios, speed
from step_process import StepProcess

ALL = os.environ.get("JARVIS_NANO_BENCH") == "all"
RIVALS = ("eager", "products", *(("compile", "transformers") if ALL else ()))
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
    peers = {name: seconds_of(step_peers.PEERS[name](size)) for name in (*RIVALS, "ours")}
    record(benchmark, compete(benchmark, peers), size)


@pytest.mark.parametrize("size", step_peers.SIZES)
def test_step_with_glibc_own_allocator(benchmark, size):
    with contextlib.ExitStack() as running:

        def process(peer: str, keep: bool) -> Callable[[], float]:
            return running.enter_context(StepProcess(peer, size, keep=keep, threads=torch.get_num_threads())).step

        peers = {"eager": process("eager", False)}
        if ALL:
            peers["ours_without_setting"] = process("ours", False)
        peers["ours"] = process("ours", True)
        record(benchmark, compete(benchmark, peers), size)


@pytest.mark.parametrize("size", step_peers.SIZES if ALL else ["L"])
def test_peak_memory(benchmark, size):
    """MB beyond what the imports hold, after some steps: weights, moments, gradients, activations, scratch."""
    found = benchmark.extra_info
    settings = {"": (("ours", True), ("eager", False)), "_the_other_way": (("ours", False), ("eager", True))}
    for suffix, pair in settings.items() if ALL else [("", settings[""])]:
        for peer, keep in pair:
            with StepProcess(peer, size, keep=keep, threads=torch.get_num_threads()) as process:
                for _ in range(MEMORY_STEPS):
                    process.step()
                found[f"{peer}_peak_MB{suffix}"] = round(process.ask("memory")["peak"])
                if not suffix and peer == "ours":
                    benchmark.pedantic(process.step, rounds=1)
        found[f"of_eager_memory{suffix}"] = round(found[f"ours_peak_MB{suffix}"] / found[f"eager_peak_MB{suffix}"], 3)
