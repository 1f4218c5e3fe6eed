"""LayerNorm and RMSNorm as on paper, forward and backward, in plain PyTorch. Slow and obvious; every device and dtype.

Ba, Kiros, Hinton, "Layer Normalization" (2016); Zhang, Sennrich, "Root Mean Square Layer Normalization" (2019).
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, eps: float, rms: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """-> y, x + residual (empty without one), and the statistics: (2, rows) mean and rstd, or for RMSNorm (1, rows)."""
    total = x if residual is None else x + residual
    t = _wide(total)
    mean = t.new_zeros(()) if rms else t.mean(-1, keepdim=True)
    rstd = ((t - mean).square().mean(-1, keepdim=True) + eps).rsqrt()
    y = (t - mean) * rstd * _wide(weight)
    if bias is not None:
        y = y + _wide(bias)
    stats = rstd.reshape(1, -1) if rms else torch.stack([mean.reshape(-1), rstd.reshape(-1)])
    return y.to(x.dtype).contiguous(), x.new_empty(0) if residual is None else total.contiguous(), stats


def backward(
    dy: Tensor, dtotal: Tensor | None, total: Tensor, weight: Tensor, stats: Tensor, rms: bool, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """-> dx (the residual's gradient as well), dweight, dbias (empty without a bias). `dtotal`: the sum's own gradient.

    With n = (t - mean) · rstd and g = dy · weight: dx = rstd · (g - mean(g) - n · mean(g · n)); RMSNorm: no mean(g).
    """
    rows = total.shape[:-1]
    t, d = _wide(total), _wide(dy)
    rstd = stats[-1].reshape(*rows, 1)
    n = t * rstd if rms else (t - stats[0].reshape(*rows, 1)) * rstd
    g = d * _wide(weight)
    dx = g - n * (g * n).mean(-1, keepdim=True)
    if not rms:
        dx = dx - g.mean(-1, keepdim=True)
    dx = dx * rstd
    if dtotal is not None:
        dx = dx + dtotal
    dweight = (d * n).reshape(-1, t.shape[-1]).sum(0)
    dbias = d.reshape(-1, t.shape[-1]).sum(0) if has_bias else weight.new_empty(0)
    return dx.to(total.dtype).contiguous(), dweight.to(weight.dtype), dbias.to(weight.dtype)


def _wide(t: Tensor) -> Tensor:
    # float32: in bfloat16 the mean drifts past a few hundred columns. float64 stays, for gradcheck.
    return t if t.dtype == torch.float64 else t.float()
