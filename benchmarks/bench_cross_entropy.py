"""Output head with cross-entropy against F.linear with F.cross_entropy, and against its matrix products alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from conftest import DEVICES

from jarvis_nano import kernels
from jarvis_nano.kernels.cross_entropy.op import OP

# (rows, width, ids): the nano preset's step, the mini's, that with more ids, a GPT-2 small's with part of its batch
SHAPES = [(2048, 192, 4096), (2048, 384, 8192), (2048, 384, 32768), (1024, 768, 32768)]
CASES = [(d, b) for d in DEVICES for b in OP.load if b != "reference" and OP.why_not(b, d) is None]


def tensors(device: str, N: int, C: int, V: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x, weight = torch.randn(N, C, device=device), torch.randn(V, C, device=device) * 0.05
    return x.requires_grad_(), weight.requires_grad_(), torch.randint(0, V, (N,), device=device)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_forward_and_backward(race, device, backend, shape):
    N, C, V = shape
    x, weight, target = tensors(device, *shape)

    def ours():
        loss = kernels.linear_cross_entropy(x, weight, target, backend=backend).loss.sum() / N
        return torch.autograd.grad(loss, (x, weight))

    def loss_of_torch(x, weight):
        return F.cross_entropy(F.linear(x, weight), target)

    def of(loss):
        return lambda: torch.autograd.grad(loss(x, weight), (x, weight))

    race(ours, {"torch": of(loss_of_torch), "compile": of(torch.compile(loss_of_torch))}, flops=6 * N * C * V)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_against_the_three_products_alone(race, device, backend, shape):
    """The floor, with the logits already allocated: a ratio of 1 would mean that the rest costs nothing."""
    N, C, V = shape
    x, weight, target = tensors(device, *shape)
    logits, dx, d_weight = torch.empty(N, V, device=device), torch.empty_like(x), torch.empty_like(weight)

    def ours():
        loss = kernels.linear_cross_entropy(x, weight, target, backend=backend).loss.sum() / N
        return torch.autograd.grad(loss, (x, weight))

    def products():
        with torch.no_grad():
            torch.mm(x, weight.t(), out=logits)
            torch.mm(logits, weight, out=dx.detach())
            torch.mm(logits.t(), x, out=d_weight.detach())

    race(ours, products, flops=6 * N * C * V, rival="products")


@pytest.mark.parametrize("shape", [(512, 4096), (512, 32768)], ids=str)
def test_rows_in_place(race, shape):
    """The pass over the logits alone, against torch's cross-entropy, its backward included."""
    if reason := OP.why_not("cpp", "cpu"):
        pytest.skip(reason)
    torch.manual_seed(0)
    logits, target = torch.randn(shape), torch.randint(0, shape[1], shape[:1])
    scratch, figures = logits.clone(), [torch.empty(shape[0]) for _ in range(4)]
    leaf = logits.clone().requires_grad_()

    def ours():  # over its own results again and again: the cost does not depend on the values
        torch.ops.jarvis_nano.cross_entropy_rows_(scratch, target, *figures, 0.0, True)

    race(ours, lambda: torch.autograd.grad(F.cross_entropy(leaf, target), leaf), bytes=2 * logits.nbytes)
