"""The arithmetic of the CUDA kernels, run by a CPU: the .cu file compiled as C++ against a small imitation of CUDA."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from jarvis_nano.kernels.layernorm import reference

HERE = Path(__file__).parent / "cuda_on_cpu"
CSRC = Path(__file__).resolve().parents[2] / "csrc"


@pytest.fixture(scope="module")
def layernorm(tmp_path_factory) -> ctypes.CDLL:
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if not compiler:
        pytest.skip("no g++")
    library = tmp_path_factory.mktemp("cuda") / "layernorm.so"
    flags = ["-std=c++20", "-O1", "-w", "-shared", "-fPIC"]
    source = HERE / "layernorm.cpp"
    done = subprocess.run(
        [compiler, *flags, f"-I{HERE}", f"-I{CSRC}", source, "-o", library], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def pointer(tensor: torch.Tensor | None) -> ctypes.c_void_p | None:
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def size(n: int) -> ctypes.c_int64:
    return ctypes.c_int64(n)


@pytest.mark.parametrize("rms", [False, True], ids=["layer", "rms"])
@pytest.mark.parametrize("with_residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [(torch.float32, (5, 70)), (torch.float32, (270, 8)), (torch.bfloat16, (3, 300)), (torch.float16, (4, 33))],
    ids=str,
)
def test_layernorm_is_the_references(layernorm, dtype, shape, with_residual, rms):
    torch.manual_seed(0)
    x, residual, dy, dtotal = (torch.randn(shape).to(dtype) for _ in range(4))
    rows, columns = shape
    weight, bias = torch.randn(columns), None if rms else torch.randn(columns)
    residual, dtotal = (residual, dtotal) if with_residual else (None, None)
    name = str(dtype).removeprefix("torch.")

    y, total = torch.full_like(x, torch.nan), torch.full_like(x, torch.nan)
    stats = torch.full((1 if rms else 2, rows), torch.nan)
    mean, rstd = None if rms else stats[0], stats[-1]
    getattr(layernorm, f"forward_{name}")(
        size(rows),
        size(columns),
        *map(pointer, (x, residual, weight, bias, y, total, mean, rstd)),
        ctypes.c_float(1e-5),
    )
    total = total if with_residual else x
    dx, dweight, dbias = (
        torch.full_like(x, torch.nan),
        torch.full((columns,), torch.nan),
        torch.full((columns,), torch.nan),
    )
    getattr(layernorm, f"backward_{name}")(
        size(rows), size(columns), *map(pointer, (dy, dtotal, total, weight, mean, rstd, dx, dweight)),
        None if rms else pointer(dbias),
    )  # fmt: skip

    expected_y, expected_total, expected_stats = reference.forward(x, residual, weight, bias, 1e-5, rms)
    expected = reference.backward(dy, dtotal, total, weight, expected_stats, rms, not rms)
    assert not with_residual or torch.equal(total, expected_total)
    half = dtype != torch.float32
    tolerance = {"rtol": 1e-2 if half else 1e-5, "atol": 1e-2 if half else 2e-5}
    torch.testing.assert_close(stats, expected_stats, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(y, expected_y, **tolerance)
    torch.testing.assert_close(dx, expected[0], **tolerance)
    torch.testing.assert_close(dweight, expected[1], rtol=1e-4, atol=1e-4)
    if not rms:
        torch.testing.assert_close(dbias, expected[2], rtol=1e-4, atol=1e-4)
