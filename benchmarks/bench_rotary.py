"""Rotary positions against plain torch and torch.compile: memory traffic at GPT sizes, on the CPU and a GPU."""

from __future__ import annotations

import pytest
import torch
from conftest import DEVICES

from jarvis_nano import kernels
from jarvis_nano.kernels.rotary.op import OP

# B, T, H, D of q and k in a packed projection that holds v as well
SHAPES = {"cpu": [(16, 128, 6, 64), (8, 256, 12, 64)], "cuda": [(16, 1024, 24, 64), (4, 4096, 32, 128)]}
CASES = [
    (device, backend, shape)
    for device in DEVICES
    for backend in OP.load
    if backend != "reference" and OP.why_not(backend, device) is None
    for shape in SHAPES[device]
]
DTYPE = {"cpu": torch.float32, "cuda": torch.bfloat16}


def plain(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    c, s = cos[positions, None].to(x.dtype), sin[positions, None].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * c - second * s, second * c + first * s), dim=-1)


@pytest.mark.parametrize("rival", ["torch", "compile"])
@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize(("device", "backend", "shape"), CASES, ids=lambda value: str(value).replace(" ", ""))
def test_rotary(race, device, backend, shape, direction, rival):
    B, T, H, D = shape
    packed = torch.randn(B, T, H * 3 // 2, D, device=device, dtype=DTYPE[device])
    x = packed[:, :, :H].detach().requires_grad_(direction == "both")
    positions = torch.arange(T, device=device)
    angle = positions[:, None] * 10000.0 ** -(torch.arange(D // 2, device=device) * 2 / D)
    cos, sin, dy = angle.cos(), angle.sin(), torch.randn(shape, device=device, dtype=DTYPE[device])
    theirs = torch.compile(plain) if rival == "compile" else plain

    def run(function):
        y = function(x, cos, sin, positions)
        return torch.autograd.grad(y, x, dy) if direction == "both" else y

    race(
        lambda: run(lambda *arguments: kernels.apply_rotary(*arguments, backend=backend)),
        lambda: run(theirs),
        rival=rival,
        bytes=2 * x.numel() * x.element_size() * (2 if direction == "both" else 1),
    )
