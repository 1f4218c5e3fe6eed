"""Linear layers against torch: the layers of a model of width 384 and its head, 2,048 tokens, forward and backward.

The kernel runs only where tiles are asked for: JARVIS_NANO_CPU=amx pytest benchmarks/bench_linear.py --benchmark-only
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from jarvis_nano import kernels
from jarvis_nano.kernels.linear_layer import op as linear_layer
from jarvis_nano.kernels.linear_layer.op import OP

TOKENS = 2048
LAYERS = [(192, 576), (384, 384), (384, 1152), (384, 1536), (1536, 384), (384, 8192)]  # (K, N)

pytestmark = pytest.mark.skipif(bool(OP.why_not("cpp", "cpu")), reason=OP.why_not("cpp", "cpu") or "")


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("product", ["y", "dx", "d_weight"])
def test_product(race, product, layer):
    """One product into memory that is there already: no page faults on either side."""
    K, N = layer
    x, dy, weight = torch.randn(TOKENS, K), torch.randn(TOKENS, N), torch.randn(N, K)
    a, b = {"y": (x, weight.t()), "dx": (dy, weight), "d_weight": (dy.t(), x)}[product]
    out = torch.zeros(a.shape[0], b.shape[1])
    race(lambda: linear_layer.product(a, b, out), lambda: torch.mm(a, b, out=out), flops=2 * TOKENS * K * N)


@pytest.mark.parametrize("layer", LAYERS[:-1], ids=str)
def test_forward_and_backward(race, layer):
    K, N = layer
    leaves = [torch.randn(shape, requires_grad=True) for shape in ((TOKENS, K), (N, K), (N,))]
    dy = torch.randn(TOKENS, N)
    race(
        lambda: torch.autograd.grad(kernels.linear(*leaves), leaves, dy),
        lambda: torch.autograd.grad(F.linear(*leaves), leaves, dy),
        flops=6 * TOKENS * K * N,
    )
