"""Causal attention against torch's scaled_dot_product_attention (flash on the CPU): training and decoding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from conftest import DEVICES

from jarvis_nano import kernels
from jarvis_nano.kernels.attention.op import OP

# (B, H, T, D): the nano preset's step, the mini's, a GPT-2 small's
SHAPES = [(16, 3, 128, 64), (8, 6, 256, 64), (4, 12, 1024, 64)]
CASES = [(d, b) for d in DEVICES for b in OP.load if b != "reference" and OP.why_not(b, d) is None]


def heads(device: str, B: int, H: int, T: int, D: int) -> list[torch.Tensor]:
    """q, k, v as a model has them: views of one projection's output; and the output's gradient."""
    torch.manual_seed(0)
    packed = torch.randn(B, T, 3 * H * D, device=device)
    d_out = torch.randn(B, T, H, D, device=device).transpose(1, 2)
    return [*(t.view(B, T, H, D).transpose(1, 2) for t in packed.split(H * D, -1)), d_out]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_forward(race, device, backend, shape):
    B, H, T, D = shape
    q, k, v, _ = heads(device, *shape)
    with torch.no_grad():
        race(
            lambda: kernels.causal_attention(q, k, v, backend=backend),
            lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            flops=2 * B * H * T * T * D,  # two products, the causal half of each
            rival="sdpa",
        )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_backward(race, device, backend, shape):
    B, H, T, D = shape
    *leaves, d_out = heads(device, *shape)
    leaves = [t.detach().requires_grad_() for t in leaves]
    ours = kernels.causal_attention(*leaves, backend=backend)
    theirs = F.scaled_dot_product_attention(*leaves, is_causal=True)
    race(
        lambda: torch.autograd.grad(ours, leaves, d_out, retain_graph=True),
        lambda: torch.autograd.grad(theirs, leaves, d_out, retain_graph=True),
        flops=5 * B * H * T * T * D,
        rival="sdpa",
    )


@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_forward_and_backward_in_a_layer(race, device, backend, shape):
    """From the projection's output to its gradient, the wrapper and the layout of the gradients included."""
    B, H, T, D = shape
    torch.manual_seed(0)
    packed = torch.randn(B, T, 3 * H * D, device=device, requires_grad=True)
    d_y = torch.randn(B, T, H * D, device=device)

    def layer(attend):
        def run():
            q, k, v = (t.view(B, T, H, D).transpose(1, 2) for t in packed.split(H * D, -1))
            y = attend(q, k, v).transpose(1, 2).reshape(B, T, H * D)
            return torch.autograd.grad(y, packed, d_y)

        return run

    race(
        layer(lambda q, k, v: kernels.causal_attention(q, k, v, backend=backend)),
        layer(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
        flops=7 * B * H * T * T * D,
        rival="sdpa",
    )


@pytest.mark.parametrize("shape", [(1, 3, 128, 64), (1, 12, 1024, 64), (8, 6, 256, 64)], ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_decode(race, device, backend, shape):
    """One query over a cache of T keys: memory traffic and, for small models, the wrapper."""
    _, k, v, _ = heads(device, *shape)
    q = torch.randn(shape[0], shape[1], 1, shape[3], device=device)
    with torch.no_grad():
        race(
            lambda: kernels.causal_attention(q, k, v, backend=backend),
            lambda: F.scaled_dot_product_attention(q, k, v),
            bytes=k.nbytes + v.nbytes,
            rival="sdpa",
        )
