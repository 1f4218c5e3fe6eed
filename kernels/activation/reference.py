"""The activations as on paper, in plain PyTorch; every device and dtype.

GELU: Hendrycks & Gimpel (2016), the exact one. SwiGLU: Shazeer (2020). ReLU²: So et al., "Primer" (2021).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def forward(x: Tensor, bias: Tensor | None, kind: str) -> Tensor:
    """f(x + bias), differentiable: autograd keeps what torch's own functions keep, and ReLU² its relu alone."""
    h = x if bias is None else x + bias  # a float32 bias makes a float32 sum
    if kind == "gelu":
        y = F.gelu(h)  # h Φ(h), with Φ the normal distribution's
    elif kind == "relu_squared":
        y = _ReluSquared.apply(h)
    else:
        gate, value = h.chunk(2, dim=-1)
        y = F.silu(gate) * value  # silu(g) = g σ(g)
    return y.to(x.dtype)


def backward(dy: Tensor, x: Tensor, bias: Tensor | None, kind: str) -> tuple[Tensor, Tensor]:
    """-> dx, dbias (empty without a bias), written out: what the kernels compute, in float32 at least."""
    wide = torch.promote_types(x.dtype, torch.float32)
    h = x.to(wide) if bias is None else x.to(wide) + bias.to(wide)
    d = dy.to(wide)
    if kind == "gelu":  # Φ(h) + h φ(h), with φ the normal density
        dh = d * (torch.special.ndtr(h) + h * torch.exp(-0.5 * h * h) / math.sqrt(2 * math.pi))
    elif kind == "relu_squared":
        dh = d * 2 * h.relu()
    else:
        gate, value = h.chunk(2, dim=-1)
        s = torch.sigmoid(gate)
        dh = torch.cat((d * value * s * (1 + gate * (1 - s)), d * gate * s), dim=-1)
    dbias = x.new_empty(0) if bias is None else dh.reshape(-1, dh.shape[-1]).sum(0).to(bias.dtype)
    return dh.to(x.dtype), dbias


class _ReluSquared(torch.autograd.Function):
    """relu(x)², saving relu(x) alone: autograd's own chain makes five passes over the widest tensor, this one two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return torch.mul(dy, positive).mul_(2)  # 0 where x was negative
