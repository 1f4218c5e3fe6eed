"""One step of AdamW over a GPT's tensors against torch's fused AdamW with clip_grad_norm_. Needs a GPU."""

from __future__ import annotations

import pytest
import torch

from jarvis_nano import kernels
from jarvis_nano.kernels.adamw.op import OP

CASES = [b for b in OP.load if b != "reference" and torch.cuda.is_available() and OP.why_not(b, "cuda") is None]


def shapes(width: int, depth: int, vocabulary: int) -> list[tuple[int, ...]]:
    """The tensors of a GPT of this size: many small vectors among few large matrices."""
    block = [(width,), (3 * width, width), (width, width), (width,), (4 * width, width), (width, 4 * width)]
    return [(vocabulary, width), *block * depth, (width,)]


@pytest.mark.parametrize("size", [(192, 4, 4096), (768, 12, 50304)], ids=["nano", "124M"])
@pytest.mark.parametrize("backend", CASES or ["none"])
def test_a_step_with_clipping(race, backend, size):
    if backend == "none":
        pytest.skip("no GPU")
    torch.manual_seed(0)
    params = [torch.randn(shape, device="cuda") * 0.02 for shape in shapes(*size)]
    leaves = [p.clone().requires_grad_() for p in params]
    grads = [torch.randn_like(p) for p in params]
    exp_avg, exp_avg_sq = ([torch.zeros_like(p) for p in params] for _ in range(2))
    optimizer = torch.optim.AdamW(leaves, lr=1e-4, weight_decay=0.1, fused=True)
    for leaf, grad in zip(leaves, grads, strict=True):
        leaf.grad = grad.clone()

    def ours():
        kernels.adamw_step(
            params, grads, exp_avg, exp_avg_sq, lr=1e-4, weight_decay=0.1, step=10, max_norm=1.0, backend=backend
        )

    def theirs():
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        optimizer.step()

    race(ours, theirs, bytes=32 * sum(p.numel() for p in params))
