"""Rotary positions on a GPU against plain torch and torch.compile: memory traffic at GPT sizes."""

from __future__ import annotations

import pytest
import torch

from jarvis_nano import kernels
from jarvis_nano.kernels.rotary.op import OP

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
# B, T, H, D of q and k in a packed projection that holds v as well
SHAPES = [(16, 1024, 24, 64), (4, 4096, 32, 128)]
BACKENDS = [name for name in OP.load if name != "reference" and OP.why_not(name, "cuda") is None]


def plain(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    c, s = cos[: x.shape[1], None].to(x.dtype), sin[: x.shape[1], None].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * c - second * s, second * c + first * s), dim=-1)


@pytest.mark.parametrize("rival", ["torch", "compile"])
@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_rotary(race, backend, shape, direction, rival):
    B, T, H, D = shape
    packed = torch.randn(B, T, H * 3 // 2, D, device="cuda", dtype=torch.bfloat16)
    x = packed[:, :, :H].detach().requires_grad_(direction == "both")
    angle = torch.arange(T, device="cuda")[:, None] * 10000.0 ** -(torch.arange(D // 2, device="cuda") * 2 / D)
    cos, sin, dy = angle.cos(), angle.sin(), torch.randn(shape, device="cuda", dtype=torch.bfloat16)
    theirs = torch.compile(plain) if rival == "compile" else plain

    def run(function):
        y = function(x)
        return torch.autograd.grad(y, x, dy) if direction == "both" else y

    race(
        lambda: run(lambda x: kernels.apply_rotary(x, cos, sin, backend=backend)),
        lambda: run(lambda x: theirs(x, cos, sin)),
        rival=rival,
        bytes=2 * x.numel() * x.element_size() * (2 if direction == "both" else 1),
    )
