"""Every GPU kernel compiles for Ampere and Hopper without spilling a register, on a machine without a GPU."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRITON_MODULES = [
    f"jarvis_nano.kernels.{file.parent.name}.triton_kernel" for file in sorted(ROOT.glob("kernels/*/triton_kernel.py"))
]
CUDA_SOURCES = sorted((ROOT / "csrc").glob("*.cu"))


@pytest.mark.parametrize("architecture", ["80", "90"])
@pytest.mark.parametrize("module", TRITON_MODULES)
def test_triton_kernels_fit_in_registers(module, architecture):
    pytest.importorskip("triton")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    program = Path(__file__).parent / "compile_triton.py"
    command = [sys.executable, str(program), module, architecture]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines
    assert [line for line in lines if line["stack"] or line["spills"]] == []
    assert [line for line in lines if line["shared"] > line["shared_limit"]] == []


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
