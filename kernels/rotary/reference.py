"""Rotary positions as on paper, forward and backward, in plain PyTorch. Slow and obvious; every device and dtype.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021), §3.2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None) -> Tensor:
    """x (B, T, H, D), cos and sin (context, D/2): each pair (i, i + D/2) turns by its angle at its token's position."""
    c, s = _of_tokens(cos, x, positions), _of_tokens(sin, x, positions)
    first, second = x.to(c.dtype).chunk(2, dim=-1)
    return torch.cat((first * c - second * s, second * c + first * s), dim=-1).to(x.dtype)


def backward(dy: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None) -> Tensor:
    """-> dx: a rotation's transpose is the rotation by the opposite angle."""
    return forward(dy, cos, -sin, positions)


def _of_tokens(table: Tensor, x: Tensor, positions: Tensor | None) -> Tensor:
    """The table's rows of x's tokens, (T, 1, D/2) or (B, T, 1, D/2), in float32 at least."""
    rows = table[: x.shape[1]] if positions is None else table[positions]
    return rows.unsqueeze(-2).to(torch.promote_types(x.dtype, torch.float32))
