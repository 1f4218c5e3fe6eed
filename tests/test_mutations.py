"""The list of ways to break a GPU kernel is whole and fits the code; that each is noticed is the slow test."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mutations import run as mutations

ROOT = Path(__file__).resolve().parent.parent
GPU_KERNELS = {f"{file.parent.name}_triton" for file in ROOT.glob("kernels/*/triton_kernel.py")} | {
    file.stem for file in ROOT.glob("csrc/*_cuda.cu")
}


def test_every_gpu_kernel_is_broken_in_at_least_five_ways():
    counts = Counter(mutation.kernel for mutation in mutations.listed())
    assert set(counts) == GPU_KERNELS
    assert min(counts.values()) >= 5, counts


@pytest.mark.parametrize("mutation", mutations.listed(), ids=lambda m: f"{m.kernel}: {m.name}")
def test_a_mutation_fits_the_code(mutation):
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.old != mutation.new


@pytest.mark.slow
@pytest.mark.parametrize("kernel", sorted({mutation.kernel for mutation in mutations.listed()}))
def test_every_break_is_noticed(kernel):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/mutations/run.py"), kernel], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
