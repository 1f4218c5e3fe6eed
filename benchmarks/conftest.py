"""Fixtures for the benchmarks: ours against its rivals, interleaved, with the ratios in extra_info.

On a shared machine absolute times wander; run in turns, all meet the same disturbances, so trust the ratio.
`pytest benchmarks --benchmark-only --benchmark-json=FILE` keeps the figures, with machine and commit; `python
benchmarks/report.py FILE` makes a table of them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import peaks
import pytest
import torch

from jarvis_nano.training.allocator import keep_freed_memory

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SECONDS = 0.6  # a case, if that is enough for ROUNDS; the whole folder takes some minutes
ROUNDS = 15  # at least: of fewer the median still wanders

Racers = Callable[[], object] | Mapping[str, Callable[[], object]]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@pytest.fixture(scope="session", autouse=True)
def threads() -> None:
    """All cores, unless OMP_NUM_THREADS says otherwise; freed memory is kept, as in training, for all rivals alike:
    without that a large result costs more page faults than arithmetic."""
    keep_freed_memory()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1)


def compete(
    benchmark, runners: Mapping[str, Callable[[], float]], *, seconds: float = SECONDS
) -> dict[str, list[float]]:
    """What each runner returns, the seconds of one call, when all take turns; "ours" ends a round, under the eyes of
    pytest-benchmark. The first calls do not count: they compile, fill caches and wake the threads."""
    for run in runners.values():
        run()
    rounds = min(1000, max(ROUNDS, round(seconds / sum(run() for run in runners.values()))))
    times: dict[str, list[float]] = {name: [] for name in runners}

    def take(name: str) -> None:
        times[name].append(runners[name]())

    def rivals() -> None:
        for name in runners:
            if name != "ours":
                take(name)

    benchmark.pedantic(take, args=("ours",), setup=rivals, rounds=rounds)
    return times


def ratios(times: Mapping[str, list[float]]) -> dict[str, object]:
    """For each rival theirs / ours: the median and the middle half over the rounds, and its own median time."""
    ours = times["ours"]
    found: dict[str, object] = {"ours_ms": _shown(statistics.median(ours)), "rounds": len(ours)}
    for rival, theirs in times.items():
        if rival == "ours":
            continue
        each = [b / a for a, b in zip(ours, theirs, strict=True)]
        low, median, high = statistics.quantiles(each * 2 if len(each) == 1 else each, n=4)
        found[f"{rival}_over_ours"] = round(median, 3)
        found[f"{rival}_quartiles"] = [round(low, 3), round(high, 3)]
        found[f"{rival}_ms"] = _shown(statistics.median(theirs))
    return found


def _shown(seconds: float) -> float:
    return float(f"{1e3 * seconds:.4g}")


def speed(seconds: float, *, bytes: int = 0, flops: int = 0, on_cpu: bool = True) -> dict[str, object]:
    """What a time means: GB/s and GFLOP/s, and on the CPU their shares of what a copy and the multiply-adds reach."""
    found: dict[str, object] = {}
    threads = torch.get_num_threads()
    if bytes:
        found["GB_per_s"] = round(bytes / seconds / 1e9, 1)
        if on_cpu:
            found["of_copy"] = round(bytes / seconds / peaks.copy(threads), 3)
    if flops:
        found["GFLOP_per_s"] = round(flops / seconds / 1e9, 1)
        if on_cpu:
            found["of_peak"] = round(flops / seconds / peaks.fma(threads), 3)
    return found


@pytest.fixture
def race(benchmark, request) -> Callable[..., float]:
    """race(ours, theirs, bytes=…, flops=…, rival="torch"): all in turns, at least 15 rounds; returns theirs / ours.

    `theirs` is one function, or several by name: {"eager": …, "compile": …}; the first one's ratio is returned. bytes
    and flops are what one call of ours has to move and compute; they give GB/s and GFLOP/s, of_copy and of_peak.
    """
    on_cpu = "cuda" not in request.node.name

    def run(ours: Callable[[], object], theirs: Racers, *, rival: str = "torch", bytes: int = 0, flops: int = 0):
        def timed(function: Callable[[], object]) -> Callable[[], float]:
            def once() -> float:
                _wait()
                start = time.perf_counter()
                function()
                _wait()
                return time.perf_counter() - start

            return once

        rivals = theirs if isinstance(theirs, Mapping) else {rival: theirs}
        named = {**{name: timed(function) for name, function in rivals.items()}, "ours": timed(ours)}
        times = compete(benchmark, named)
        found = ratios(times)
        benchmark.extra_info.update(found, threads=torch.get_num_threads())
        benchmark.extra_info.update(speed(statistics.median(times["ours"]), bytes=bytes, flops=flops, on_cpu=on_cpu))
        return found[f"{next(iter(rivals))}_over_ours"]

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
    machine_info["peaks"] = peaks.facts()
    machine_info["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    machine_info["commit"] = done.stdout.strip() or None
