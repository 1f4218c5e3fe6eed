"""AdamW as on paper, tensor by tensor, in plain PyTorch, in the dtype of the weights (float32, or float64 for tests).

Loshchilov, Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def step(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avg: list[Tensor],
    exp_avg_sq: list[Tensor],
    lr: Tensor,
    weight_decay: Tensor,
    step: Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    max_norm: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Updates params, exp_avg, exp_avg_sq; -> norms of gradients, updates and new weights (n), and of all gradients.

    lr and weight_decay: one value, or one a tensor; on any device, as `step`, the number of this step from 1 on.
    """
    first = params[0]
    gradient = torch.stack([grad.to(first.dtype).norm() for grad in grads])
    total = gradient.norm()
    factor = None if max_norm is None else (max_norm / (total + 1e-6)).clamp(max=1.0)
    lrs = lr.to(first.device, first.dtype).expand(len(params))
    decays = weight_decay.to(first.device, first.dtype).expand(len(params))
    t = step.to(first.device, torch.float64)
    correction1, correction2 = ((1 - beta**t).to(first.dtype) for beta in (beta1, beta2))
    update, weight = [], []
    for i, (p, m, v) in enumerate(zip(params, exp_avg, exp_avg_sq, strict=True)):
        g = grads[i].to(p.dtype)
        if factor is not None:
            g = g * factor
        m.mul_(beta1).add_(g * (1 - beta1))
        v.mul_(beta2).add_(g * g * (1 - beta2))
        before = p.clone()
        p.mul_(1 - lrs[i] * decays[i])
        p.sub_(lrs[i] * (m / correction1) / ((v / correction2).sqrt() + eps))
        update.append((p - before).norm())
        weight.append(p.norm())
    return gradient, torch.stack(update), torch.stack(weight), total
