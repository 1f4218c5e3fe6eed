"""The MLP's activations with their bias against plain torch and torch.compile: memory traffic, on the CPU and a GPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from conftest import DEVICES

from jarvis_nano import kernels
from jarvis_nano.kernels.activation.op import OP

# Rows and width of the result: on the CPU those of the presets mini and nano, 2048 tokens a step.
SHAPES = {"cpu": [(2048, 1536), (2048, 768)], "cuda": [(16384, 3072), (65536, 3072)]}
CASES = [
    (device, backend, shape)
    for device in DEVICES
    for backend in OP.load
    if backend != "reference" and OP.why_not(backend, device) is None
    for shape in SHAPES[device]
]
DTYPE = {"cpu": torch.float32, "cuda": torch.bfloat16}
OURS = {"gelu": kernels.gelu, "swiglu": kernels.swiglu, "relu_squared": kernels.relu_squared}


def swiglu(h: torch.Tensor) -> torch.Tensor:
    gate, value = h.chunk(2, dim=-1)
    return F.silu(gate) * value


PLAIN = {"gelu": F.gelu, "swiglu": swiglu, "relu_squared": lambda h: F.relu(h).square()}


@pytest.mark.parametrize("rival", ["torch", "compile"])
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("with_bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(("device", "backend", "shape"), CASES, ids=lambda value: str(value).replace(" ", ""))
def test_activation(race, device, backend, shape, kind, with_bias, direction, rival):
    rows, width = shape
    wide = width * (2 if kind == "swiglu" else 1)
    learns = direction != "forward"
    x = torch.randn(rows, wide, device=device, dtype=DTYPE[device], requires_grad=learns)
    bias = torch.randn(wide, device=device, requires_grad=learns) if with_bias else None
    dy = torch.randn(rows, width, device=device, dtype=DTYPE[device])
    leaves = [x] if bias is None else [x, bias]

    def plain(x, bias):
        return PLAIN[kind](x if bias is None else x + bias.to(x.dtype))

    def prepared(function):
        if direction == "backward":
            y = function(x, bias)
            return lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)
        if direction == "both":
            return lambda: torch.autograd.grad(function(x, bias), leaves, dy)
        return lambda: function(x, bias)

    forward, backward = x.nbytes + dy.nbytes, dy.nbytes + 2 * x.nbytes  # x, y; dy, x, dx
    race(
        prepared(lambda x, bias: OURS[kind](x, bias, backend=backend)),
        prepared(torch.compile(plain) if rival == "compile" else plain),
        rival=rival,
        bytes=(direction != "backward") * forward + learns * backward,
    )
