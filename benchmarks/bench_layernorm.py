"""LayerNorm and RMSNorm against torch: one call's cost, and the memory traffic at a model's widths."""

from __future__ import annotations

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
