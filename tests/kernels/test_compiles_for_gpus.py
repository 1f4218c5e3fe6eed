"""Every GPU kernel compiles for Ampere and Hopper without spilling a register, on a machine without a GPU."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRITON_MODULES = [
    f"jarvis_nano.kernels.{file.parent.name}.triton_kernel" for file in sorted(ROOT.glob("kernels/*/triton_kernel.py"))
]
CUDA_SOURCES = sorted((ROOT / "csrc").glob("*.cu"))


def compiled(module: str, architectures: list[str], *options: str, triton: Path | None = None) -> list[dict]:
    """What each configuration of a module takes; `triton`: a folder with another version of it."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    if triton:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(triton), environment.get("PYTHONPATH")]))
    program = Path(__file__).parent / "compile_triton.py"
    command = [sys.executable, str(program), *options, module, *architectures]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {str(line["sm"]) for line in lines} == set(architectures)
    return lines


def fits(line: dict) -> bool:
    return not line["stack"] and not line["spills"] and line["shared"] <= line["shared_limit"]


@pytest.fixture(scope="session")
def all_compiled() -> Iterator[dict[tuple[str, str], Future[list[dict]]]]:
    """Every module for either card, two at a time: each takes up to 40 s of one core."""
    pytest.importorskip("triton")
    with ThreadPoolExecutor(2) as pool:
        jobs = [(module, architecture) for module in TRITON_MODULES for architecture in ("80", "90")]
        yield {job: pool.submit(compiled, job[0], [job[1]]) for job in jobs}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("architecture", ["80", "90"])
@pytest.mark.parametrize("module", TRITON_MODULES)
def test_triton_kernels_fit_in_registers(module, architecture, all_compiled):
    assert [line for line in all_compiled[module, architecture].result() if not fits(line)] == []


@pytest.mark.slow
@pytest.mark.parametrize("module", TRITON_MODULES)
def test_triton_kernels_fit_on_newer_cards(module):
    pytest.importorskip("triton")
    assert [line for line in compiled(module, ["100", "120"]) if not fits(line)] == []


@pytest.mark.slow
@pytest.mark.parametrize("module", TRITON_MODULES)
def test_whole_numbers_of_one_are_constants(module):
    """One row, one head, a stride of 1: a launch makes each a constant, and constants lack what values can do."""
    pytest.importorskip("triton")
    assert compiled(module, ["90"], "--ones")


@pytest.fixture(scope="session")
def other_triton(tmp_path_factory) -> Path:
    """The other version of Triton that the project takes, unpacked apart: 3.6 and 3.7 make different code."""
    triton = pytest.importorskip("triton")
    other = "3.7.1" if triton.__version__.startswith("3.6") else "3.6.0"
    folder = tmp_path_factory.mktemp("triton")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, f"triton=={other}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip finds no triton {other} here: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("module", TRITON_MODULES)
def test_triton_kernels_fit_with_the_other_version_of_triton(module, other_triton):
    lines = compiled(module, ["80", "90", "100", "120"], triton=other_triton)
    assert [line for line in lines if not fits(line)] == []


@pytest.mark.parametrize("source", CUDA_SOURCES, ids=lambda path: path.name)
def test_cuda_kernels_fit_in_registers(source, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on PATH")
    architectures = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ("80", "90")]
    flags = ["-std=c++20", "-O3", "-Xcompiler=-fPIC", "-Xptxas=-v", "-cubin"]
    for architecture in architectures:
        command = [nvcc, *flags, architecture, str(source), "-o", str(tmp_path / "kernel.cubin")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
        assert frames
        assert set(frames) == {("0", "0", "0")}, done.stderr
