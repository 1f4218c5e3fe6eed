"""Output head and cross-entropy as on paper: all logits at once, in float32 at least (float64 stays, for gradcheck).

Slow, obvious, and the twin that every kernel is checked against. Shapes are op.py's to check, values are checked here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jarvis_nano.errors import UserError


def forward(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    ignore_index: int,
    z_loss: float,
    needs_dx: bool = False,
    needs_d_weight: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """x (N, C), weight (V, C), target (N) -> loss, log_z, entropy, hit (N), and two empty tensors.

    loss = log_z - logit[target] + z_loss · log_z²; log_z is the log of the softmax's denominator; entropy that of the
    softmax in nats; hit is 1 where the target has the largest logit (the first of several equal ones), else 0. All
    are 0 where the target is ignore_index. A kernel may return gradients made on the way; here there are none.
    """
    logits = _logits(x, weight)
    counted = target != ignore_index
    log_z = torch.logsumexp(logits, dim=-1)
    log_p = logits - log_z[:, None]
    chosen = torch.where(counted, target, 0)
    if not torch.compiler.is_compiling():
        check_targets(chosen, weight.shape[0])
    loss = -log_p.gather(1, chosen[:, None])[:, 0] + z_loss * log_z.square()
    entropy = torch.special.entr(log_p.exp()).sum(-1)  # entr(p) = -p log p, 0 at 0
    hit = (logits.argmax(-1) == chosen).to(loss.dtype)
    figures = (torch.where(counted, figure, 0.0) for figure in (loss, log_z, entropy, hit))
    return *figures, loss.new_empty(0), loss.new_empty(0)  # type: ignore[return-value]


def backward(
    d_loss: Tensor,
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    dx: Tensor,
    d_weight: Tensor,
    ignore_index: int,
    z_loss: float,
    needs_dx: bool = True,
    needs_d_weight: bool = True,
) -> tuple[Tensor, Tensor]:
    """Gradients of x (N, C) and weight (V, C) from d_loss (N); dx and d_weight, made by some forwards, are not read.

    The logits' gradient is softmax · (1 + 2 z_loss · log_z) - onehot(target), times d_loss.
    """
    logits = _logits(x, weight)
    counted = target != ignore_index
    log_z = torch.logsumexp(logits, dim=-1, keepdim=True)
    onehot = torch.nn.functional.one_hot(torch.where(counted, target, 0), weight.shape[0])
    d_logits = torch.exp(logits - log_z) * (1 + 2 * z_loss * log_z) - onehot
    d_logits = d_logits * torch.where(counted, d_loss.to(logits.dtype), 0.0)[:, None]
    with torch.autocast(x.device.type, enabled=False):
        dx, d_weight = d_logits @ weight.to(logits.dtype), d_logits.T @ x.to(logits.dtype)
    return dx.to(x.dtype), d_weight.to(weight.dtype)


def check_targets(target: Tensor, vocabulary: int) -> None:
    """UserError when a counted target is not an id: reading its logit would read elsewhere."""
    if target.numel() == 0:
        return
    low, high = (bound.item() for bound in target.aminmax())
    if low < 0 or high >= vocabulary:
        wrong = high if high >= vocabulary else low
        raise UserError(f"target {wrong} is no id of this weight; expected 0 to {vocabulary - 1}, or ignore_index")


def _logits(x: Tensor, weight: Tensor) -> Tensor:
    wide = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
    with torch.autocast(x.device.type, enabled=False):  # it would multiply in bfloat16
        return x.to(wide) @ weight.to(wide).T
