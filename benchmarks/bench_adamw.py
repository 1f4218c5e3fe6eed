"""One step of AdamW over a GPT's tensors against torch's fused AdamW with clip_grad_norm_, on the CPU and on a GPU."""

from __future__ import annotations

import pytest
import torch
from conftest import DEVICES
from torch import Tensor

from jarvis_nano import kernels
from jarvis_nano.kernels.adamw.op import OP

CASES = [(d, b) for d in DEVICES for b in OP.load if b != "reference" and OP.why_not(b, d) is None]
SIZES = {"nano": (192, 4, 4096), "14M": (384, 6, 8192), "124M": (768, 12, 50304), "80 small tensors": (8, 13, 16)}


def shapes(width: int, depth: int, vocabulary: int) -> list[tuple[int, ...]]:
    """The tensors of a GPT of this size: many small vectors among few large matrices."""
    block = [(width,), (3 * width, width), (width, width), (width,), (4 * width, width), (width, 4 * width)]
    return [(vocabulary, width), *block * depth, (width,)]


class State:
    """Weights, gradients and moments, and one step of ours."""

    def __init__(self, device: str, size: str) -> None:
        torch.manual_seed(0)
        self.params = [torch.randn(shape, device=device) * 0.02 for shape in shapes(*SIZES[size])]
        self.grads = [torch.randn_like(p) for p in self.params]
        self.exp_avg, self.exp_avg_sq = ([torch.zeros_like(p) for p in self.params] for _ in range(2))
        self.bytes = 32 * sum(p.numel() for p in self.params)

    def step(self, backend: str) -> None:
        lists = (self.params, self.grads, self.exp_avg, self.exp_avg_sq)
        kernels.adamw_step(*lists, lr=1e-4, weight_decay=0.1, step=10, max_norm=1.0, backend=backend)

    def of_torch(self) -> tuple[list[Tensor], torch.optim.AdamW]:
        """Leaves with gradients, and torch's optimizer over them."""
        leaves = [p.clone().requires_grad_() for p in self.params]
        for leaf, grad in zip(leaves, self.grads, strict=True):
            leaf.grad = grad.clone()
        return leaves, torch.optim.AdamW(leaves, lr=1e-4, weight_decay=0.1, fused=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("device", "backend"), CASES)
def test_a_step_with_clipping(race, device, backend, size):
    state = State(device, size)
    leaves, optimizer = state.of_torch()

    def theirs():
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        optimizer.step()

    race(lambda: state.step(backend), theirs, bytes=state.bytes)


@pytest.mark.parametrize(("device", "backend"), CASES)
def test_a_step_against_the_compiled_one(race, device, backend):
    """torch.compile over clipping and torch's for-each AdamW; the fused one is opaque to it."""
    state = State(device, "14M")
    leaves, _ = state.of_torch()
    optimizer = torch.optim.AdamW(leaves, lr=1e-4, weight_decay=0.1, foreach=True)

    @torch.compile
    def theirs():
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        optimizer.step()

    race(lambda: state.step(backend), theirs, rival="compiled", bytes=state.bytes)


@pytest.mark.parametrize(("device", "backend"), [case for case in CASES if case[0] == "cpu"])
def test_a_step_on_faded_moments(race, device, backend):
    """Weights that are rarely used: their moments have become denormal numbers."""
    state = State(device, "nano")
    leaves, optimizer = state.of_torch()
    optimizer.step()
    faded = [[s[name] for s in optimizer.state.values()] for name in ("exp_avg", "exp_avg_sq")]
    for tensor in (*state.exp_avg, *state.exp_avg_sq, *faded[0], *faded[1]):
        tensor.fill_(1e-41)
    for tensor in (*state.grads, *(leaf.grad for leaf in leaves)):
        tensor.zero_()

    def theirs():
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        optimizer.step()

    race(lambda: state.step(backend), theirs, bytes=state.bytes)
