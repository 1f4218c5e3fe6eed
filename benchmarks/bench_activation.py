"""The MLP's activations with their bias on a GPU, against plain torch and torch.compile: memory traffic."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from jarvis_nano import kernels
from jarvis_nano.kernels.activation.op import OP

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
SHAPES = [(16384, 3072), (65536, 3072)]  # rows and width of the result
BACKENDS = [name for name in OP.load if name != "reference" and OP.why_not(name, "cuda") is None]
OURS = {"gelu": kernels.gelu, "swiglu": kernels.swiglu, "relu_squared": kernels.relu_squared}


def swiglu(h: torch.Tensor) -> torch.Tensor:
    gate, value = h.chunk(2, dim=-1)
    return F.silu(gate) * value


PLAIN = {"gelu": F.gelu, "swiglu": swiglu, "relu_squared": lambda h: F.relu(h).square()}


@pytest.mark.parametrize("rival", ["torch", "compile"])
@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_activation(race, backend, shape, kind, direction, rival):
    rows, width = shape
    both = direction == "both"
    wide = width * (2 if kind == "swiglu" else 1)
    x = torch.randn(rows, wide, device="cuda", dtype=torch.bfloat16, requires_grad=both)
    bias = torch.randn(wide, device="cuda", requires_grad=both)
    dy = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)

    def plain(x, bias):
        return PLAIN[kind](x + bias.to(x.dtype))

    theirs = torch.compile(plain) if rival == "compile" else plain

    def run(function):
        y = function(x, bias)
        return torch.autograd.grad(y, [x, bias], dy) if both else y

    moved = x.nbytes + dy.nbytes  # forward: x, y; backward: dy, x, dx
    race(
        lambda: run(lambda x, bias: OURS[kind](x, bias, backend=backend)),
        lambda: run(theirs),
        rival=rival,
        bytes=moved + (dy.nbytes + 2 * x.nbytes if both else 0),
    )
