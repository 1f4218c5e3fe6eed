"""The entrance of the output head with cross-entropy: checks the arguments and calls a backend."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from . import reference


class LinearCrossEntropy(NamedTuple):
    """Figures per token, shaped like the targets. Only `loss` has a gradient."""

    loss: Tensor
    log_z: Tensor
    entropy: Tensor
    hit: Tensor


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    z_loss: float = 0.0,
    backend: str = "auto",
) -> LinearCrossEntropy:
    """Cross-entropy of the logits x weightᵀ (no bias) against the targets, without holding all logits at once."""
    out = reference.forward(x.reshape(-1, x.shape[-1]), weight, target.reshape(-1), ignore_index, z_loss)
    loss, log_z, entropy, hit = (figure.view(target.shape) for figure in out)
    return LinearCrossEntropy(loss, log_z.detach(), entropy.detach(), hit.detach())
