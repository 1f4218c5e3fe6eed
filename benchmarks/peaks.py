"""What this machine can do at most: multiply-adds, copying and reading. `python benchmarks/peaks.py` shows it.

The figures stand under every kernel's own: `of_peak` and `of_copy` in the benchmarks' extra_info.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch

from jarvis_nano.kernels import backends

TRIES = 15
BUFFER = 2**28  # bytes: two of them are more than the largest caches hold


def _best(run: Callable[[], object]) -> float:
    """Seconds of the fastest of some calls."""
    run()
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


@functools.cache
def fma(threads: int) -> float:
    """FLOP/s of fused multiply-adds in float32 on registers, with the instruction set that the kernels use."""
    backends.missing_ops()  # loads the compiled module
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rounds = 2**18
        flops = torch.ops.jarvis_nano.multiply_add(rounds)
        return flops / _best(lambda: torch.ops.jarvis_nano.multiply_add(rounds))
    finally:
        torch.set_num_threads(before)


@functools.cache
def copy(threads: int) -> float:
    """Bytes a second, read and written, of a copy of what the caches do not hold."""
    return _memory(threads)[0]


@functools.cache
def read(threads: int) -> float:
    """Bytes a second of a sum over what the caches do not hold."""
    return _memory(threads)[1]


@functools.cache
def _memory(threads: int) -> tuple[float, float]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        source, target = torch.ones(BUFFER // 4), torch.ones(BUFFER // 4)
        return 2 * BUFFER / _best(lambda: target.copy_(source)), BUFFER / _best(source.sum)
    finally:
        torch.set_num_threads(before)


def facts() -> dict[str, object]:
    """What a figure of this machine needs beside it; nothing where the kernels are not built."""
    if backends.missing_ops():
        return {}
    threads = torch.get_num_threads()
    return {
        "threads": threads,
        "instructions": ("portable", "AVX2", "AVX-512")[torch.ops.jarvis_nano.cpu_instruction_set()],
        "fma_GFLOP_per_s": round(fma(threads) / 1e9, 1),
        "copy_GB_per_s": round(copy(threads) / 1e9, 1),
        "read_GB_per_s": round(read(threads) / 1e9, 1),
    }


if __name__ == "__main__":
    for n in range(1, torch.get_num_threads() + 1):
        print(f"{n} threads: {fma(n) / 1e9:.0f} GFLOP/s, copy {copy(n) / 1e9:.1f} GB/s, read {read(n) / 1e9:.1f} GB/s")
