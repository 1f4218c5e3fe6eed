"""A linear layer as on paper, forward and backward, in plain PyTorch. Every device and dtype."""

from __future__ import annotations

import math

from torch import Tensor


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (…, K), weight (N, K), bias (N) -> x weightᵀ + bias (…, N)."""
    y = x @ weight.t()
    return y if bias is None else y + bias


def backward(
    dy: Tensor, x: Tensor, weight: Tensor, needs_dx: bool, needs_d_weight: bool, needs_d_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """-> dx = dy weight, d_weight = dyᵀ x, d_bias = the sum of dy's rows; empty where they are not needed."""
    n_rows = math.prod(dy.shape[:-1])
    rows = dy.reshape(n_rows, dy.shape[-1])
    nothing = dy.new_empty(0)
    return (
        dy @ weight if needs_dx else nothing,
        rows.t() @ x.reshape(n_rows, x.shape[-1]) if needs_d_weight else nothing,
        rows.sum(0) if needs_d_bias else nothing,
    )
