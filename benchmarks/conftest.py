"""Fixtures for the benchmarks: ours against a rival, interleaved, with the ratio in extra_info.

On a shared machine absolute times wander; run in turns, both meet the same disturbances, so trust the ratio.
`pytest benchmarks --benchmark-only --benchmark-json=FILE` keeps the figures, with machine and commit.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SECONDS = 0.6  # a case; the whole folder takes a minute or two


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@pytest.fixture(scope="session", autouse=True)
def threads() -> None:
    """All cores, unless OMP_NUM_THREADS says otherwise."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1)


@pytest.fixture
def race(benchmark) -> Callable[..., float]:
    """race(ours, theirs, bytes=…, flops=…, rival="torch"): times both in turns; returns and records theirs / ours.

    bytes and flops are what one call of ours has to move and compute; they give GB/s and GFLOP/s.
    """

    def run(ours: Callable, theirs: Callable, *, rival: str = "torch", bytes: int = 0, flops: int = 0) -> float:
        def once(function: Callable) -> float:
            _wait()
            start = time.perf_counter()
            function()
            _wait()
            return time.perf_counter() - start

        for function in (ours, theirs):  # compiles, fills caches, wakes the threads
            once(function)
        times = []
        end = time.perf_counter() + SECONDS
        while len(times) < 3 or (time.perf_counter() < end and len(times) < 1000):
            times.append((once(ours), once(theirs)))
        ratio = statistics.median(their / our for our, their in times)
        best = min(our for our, _ in times)
        benchmark.extra_info.update({f"{rival}_over_ours": round(ratio, 3), "threads": torch.get_num_threads()})
        benchmark.extra_info[f"{rival}_best_ms"] = round(1e3 * min(their for _, their in times), 4)
        if bytes:
            benchmark.extra_info["GB_per_s"] = round(bytes / best / 1e9, 1)
        if flops:
            benchmark.extra_info["GFLOP_per_s"] = round(flops / best / 1e9, 1)

        def timed() -> None:
            ours()
            _wait()

        benchmark.pedantic(timed, rounds=max(3, len(times) // 4), iterations=1)
        return ratio

    return run


def pytest_terminal_summary(terminalreporter, config) -> None:
    """The ratios under pytest-benchmark's own table, which does not show them."""
    session = getattr(config, "_benchmarksession", None)
    lines = [
        (bench.name, "  ".join(f"{key} {value}" for key, value in bench.extra_info.items()))
        for bench in (session.benchmarks if session else [])
        if bench.extra_info
    ]
    if lines:
        terminalreporter.section("ours against the rival, interleaved (more than 1: ours is faster)")
        width = max(len(name) for name, _ in lines)
        for name, figures in lines:
            terminalreporter.write_line(f"{name:<{width}}  {figures}")


def pytest_benchmark_update_machine_info(config, machine_info) -> None:
    machine_info["torch"] = torch.__version__
    machine_info["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    machine_info["commit"] = done.stdout.strip() or None
