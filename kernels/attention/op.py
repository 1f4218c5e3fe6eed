"""The entrance of causal attention: checks the arguments and calls a backend."""

from __future__ import annotations

import math

from torch import Tensor

from . import reference

MAX_HEAD_WIDTH = 256


def causal_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    window: int | None = None,
    document: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Attention of each position over itself and its past: softmax(q kᵀ · scale) v."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return reference.forward(q, k, v, scale, window, document)[0]
