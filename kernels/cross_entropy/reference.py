"""Output head and cross-entropy as on paper: all logits at once, in float32 at least (float64 stays, for gradcheck).

Slow, obvious, and the twin that every kernel is checked against. It checks no arguments: op.py does.
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward(
    x: Tensor, weight: Tensor, target: Tensor, ignore_index: int = -100, z_loss: float = 0.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x (N, C), weight (V, C), target (N) -> loss, log_z, entropy, hit, each (N), float32 at least.

    loss = log_z - logit[target] + z_loss · log_z², 0 where the target is ignore_index; log_z is the log of the
    softmax's denominator; entropy that of the softmax in nats; hit is 1 where the target has the largest logit
    (the first of several equal ones), else 0.
    """
    logits = _logits(x, weight)
    counted = target != ignore_index
    log_z = torch.logsumexp(logits, dim=-1)
    log_p = logits - log_z[:, None]
    chosen = torch.where(counted, target, 0)[:, None]
    loss = -log_p.gather(1, chosen)[:, 0] + z_loss * log_z.square()
    entropy = -(log_p.exp() * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(-1)  # 0 · -inf counts as 0
    hit = counted & (logits.argmax(-1) == target)
    return torch.where(counted, loss, 0.0), log_z, entropy, hit.to(loss.dtype)


def backward(
    d_loss: Tensor,
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    log_z: Tensor,
    ignore_index: int = -100,
    z_loss: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Gradients dx (N, C) and d_weight (V, C) from d_loss (N): the logits' gradient is softmax - onehot (and z)."""
    logits = _logits(x, weight)
    counted = target != ignore_index
    d_logits = torch.exp(logits - log_z[:, None]) * (1 + 2 * z_loss * log_z)[:, None]
    chosen = torch.where(counted, target, 0)[:, None]
    d_logits = d_logits.scatter_add(1, chosen, -torch.ones_like(chosen, dtype=logits.dtype))
    d_logits = torch.where(counted, d_loss.to(logits.dtype), 0.0)[:, None] * d_logits
    dx = d_logits @ weight.to(logits.dtype)
    d_weight = d_logits.T @ x.to(logits.dtype)
    return dx.to(x.dtype), d_weight.to(weight.dtype)


def _logits(x: Tensor, weight: Tensor) -> Tensor:
    wide = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
    return x.to(wide) @ weight.to(wide).T
