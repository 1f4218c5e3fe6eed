"""LayerNorm and RMSNorm against torch: one call's cost, and the memory traffic at a model's widths.

`of_copy` is our traffic a second over that of torch's copy_ between tensors of 50 MB that are already mapped, read and
write counted. `page_faults` is how many a call of ours takes: thousands mean that its results are memory fresh from the
system, which costs more than the arithmetic and the traffic together. To keep freed memory, as training does, put
GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824 in front of the command.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from conftest import DEVICES

from jarvis_nano import kernels
from jarvis_nano.kernels.layernorm.op import OP

SHAPES = [(2048, 384), (16384, 768)]


def tensors(device: str, shape: tuple[int, int], dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    x, residual = (torch.randn(shape, device=device, dtype=dtype) for _ in range(2))
    weight, bias = (torch.randn(shape[-1], device=device, dtype=dtype) for _ in range(2))
    return [x, residual, weight, bias]


def backends_on(device: str) -> list[str]:
    return [b for b in OP.load if b != "reference" and OP.why_not(b, device) is None]


def faults_and_share_of_copy(info: dict, ours: Callable) -> None:
    """Adds page_faults and of_copy beside the GB_per_s that race has left in `info`."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    ours()
    info["page_faults"] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    source = torch.zeros(16384, 768).normal_()
    target, times = torch.zeros_like(source).copy_(source), []
    for _ in range(15):
        start = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - start)
    info["copy_GB_per_s"] = round(2 * source.nbytes / min(times) / 1e9, 1)
    info["of_copy"] = round(info["GB_per_s"] / info["copy_GB_per_s"], 2)


CASES = [(device, backend) for device in DEVICES for backend in backends_on(device)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_forward(race, device, backend, shape):
    x, _, weight, bias = tensors(device, shape, torch.float32)
    with torch.no_grad():
        race(
            lambda: kernels.layer_norm(x, weight, bias, backend=backend),
            lambda: F.layer_norm(x, x.shape[-1:], weight, bias),
            bytes=2 * x.nbytes,
        )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_residual_and_norm(race, device, backend, shape):
    x, residual, weight, bias = tensors(device, shape, torch.float32)

    def theirs():
        total = x + residual
        return F.layer_norm(total, x.shape[-1:], weight, bias), total

    with torch.no_grad():
        race(
            lambda: kernels.layer_norm(x, weight, bias, residual=residual, backend=backend), theirs, bytes=4 * x.nbytes
        )


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_forward_and_backward(race, device, backend, shape, kind):
    x, residual, weight, bias = (t.requires_grad_() for t in tensors(device, shape, torch.float32))
    dy = torch.randn_like(x)
    leaves = [x, residual, weight] + [bias] * (kind == "layer")

    def ours():
        if kind == "layer":
            y, total = kernels.layer_norm(x, weight, bias, residual=residual, backend=backend)
        else:
            y, total = kernels.rms_norm(x, weight, residual=residual, backend=backend)
        return torch.autograd.grad([y, total], leaves, [dy, dy])

    def theirs():
        total = x + residual
        norm = F.layer_norm if kind == "layer" else F.rms_norm
        y = norm(total, x.shape[-1:], weight, bias) if kind == "layer" else norm(total, x.shape[-1:], weight)
        return torch.autograd.grad([y, total], leaves, [dy, dy])

    race(ours, theirs, bytes=8 * x.nbytes)  # forward: x, residual, total, y; backward: dy, dtotal, total, dx


CPU = pytest.mark.skipif(OP.why_not("cpp", "cpu") is not None, reason="no compiled kernels")
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@CPU
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kernel_forward(race, benchmark, shape, dtype):
    """The backend's function alone, sum and norm, on the CPU."""
    x, residual, weight, bias = tensors("cpu", shape, dtype)
    wide, shift = weight.float(), bias.float()
    forward = OP.kernels[OP.choose(x, "cpp")].forward

    def ours():
        return forward(x, residual, wide, shift, 1e-5, False)

    def theirs():
        total = x + residual
        return torch.native_layer_norm(total, shape[-1:], weight, bias, 1e-5), total

    with torch.no_grad():
        race(ours, theirs, bytes=4 * x.nbytes)
        faults_and_share_of_copy(benchmark.extra_info, ours)


@CPU
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kernel_backward(race, benchmark, shape, dtype):
    """The backend's function alone, with the gradient that comes by the branch, on the CPU."""
    total, dtotal, weight, bias = tensors("cpu", shape, dtype)
    dy, wide = torch.randn_like(total), weight.float()
    kernel = OP.kernels[OP.choose(total, "cpp")]
    stats = kernel.forward(total, None, wide, bias.float(), 1e-5, False)[2]
    _, mean, rstd = torch.native_layer_norm(total, shape[-1:], weight, bias, 1e-5)

    def ours():
        return kernel.backward(dy, dtotal, total, wide, stats, False, True)

    def theirs():
        backward = torch.ops.aten.native_layer_norm_backward
        dx, dweight, dbias = backward(dy, total, shape[-1:], mean, rstd, weight, bias, [True] * 3)
        return dx + dtotal, dweight, dbias

    race(ours, theirs, bytes=4 * total.nbytes)
    faults_and_share_of_copy(benchmark.extra_info, ours)


@CPU
@pytest.mark.parametrize("rival", ["torch", "copied"])
def test_heads_of_a_packed_projection(race, rival):
    """QK-norm: 12 of 18 heads of 64 values, read where they lie; "copied" is our kernel after a dense copy."""
    qk = torch.randn(2048, 18, 64)[:, :12]
    weight = torch.ones(64)
    theirs = {
        "torch": lambda: F.rms_norm(qk, (64,), weight, 1e-5),
        "copied": lambda: kernels.rms_norm(qk.contiguous(), weight),
    }
    with torch.no_grad():
        race(lambda: kernels.rms_norm(qk, weight), theirs[rival], rival=rival, bytes=2 * qk.numel() * 4)


@pytest.mark.parametrize("needs_gradient", [False, True], ids=["no-gradient", "gradient"])
def test_one_small_call(race, needs_gradient):
    """16 floats: what the wrapper costs. Ours is Python around an op, torch's is C++ all the way."""
    x, _, weight, bias = tensors("cpu", (1, 16), torch.float32)
    weight.requires_grad_(needs_gradient)

    def hundred(call):
        def run():
            for _ in range(100):
                call()

        return run

    with torch.set_grad_enabled(needs_gradient):
        race(
            hundred(lambda: kernels.layer_norm(x, weight, bias)), hundred(lambda: F.layer_norm(x, (16,), weight, bias))
        )
