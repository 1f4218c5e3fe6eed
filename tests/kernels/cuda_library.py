"""A CUDA source compiled as C++ against the imitation of CUDA in cuda_on_cpu/, so that a CPU runs its arithmetic."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent / "cuda_on_cpu"
CSRC = Path(__file__).resolve().parents[2] / "csrc"


def build(op: str, folder: Path) -> ctypes.CDLL:
    """cuda_on_cpu/<op>.cpp, which includes csrc/<op>_cuda.cu, as a library for ctypes."""
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if not compiler:
        pytest.skip("no g++")
    library = folder / f"{op}.so"
    # The imitation's folder first: it holds headers of CUDA's names, and of the .cuh files that hold machine code.
    flags = ["-std=c++20", "-O1", "-w", "-U_FORTIFY_SOURCE", "-shared", "-fPIC", f"-I{HERE}", f"-I{CSRC}"]
    command = [compiler, *flags, str(HERE / f"{op}.cpp"), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def pointer(tensor: torch.Tensor | None) -> ctypes.c_void_p | None:
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def sizes(*numbers: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(n) for n in numbers]
