"""A Transformer's MLP in one piece, down · activation(up · x): other ops' kernels, and a gradient that keeps less.

The activation's output is as wide as its input, and a linear layer would keep it for its weight's gradient. Here it is
made again in the backward, in the pass that makes the activation's gradient, and both lie where their inputs lay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jarvis_nano.errors import UserError

from ..activation.op import OP as ACTIVATION
from ..activation.op import backward_and_forward
from ..linear_layer.op import linear, product

KINDS = {"gelu": "gelu", "swiglu": "swiglu", "relu2": "relu_squared"}


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a (M, K) b (K, N) in a new tensor."""
    out = a.new_empty(a.shape[0], b.shape[1])
    product(a, b, out)
    return out


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, up, up_bias, down, down_bias, kind, backend):  # type: ignore[override]
        hidden = linear(x, up)
        ctx.save_for_backward(x, up, up_bias, down, hidden)
        ctx.kind, ctx.backend, ctx.kept = kind, backend, True
        return linear(ACTIVATION.kernels[backend].forward(hidden, up_bias, kind), down, down_bias)

    @staticmethod
    def backward(ctx, dy):  # type: ignore[override]
        x, up, up_bias, down, hidden = ctx.saved_tensors
        needs_x, needs_up, needs_up_bias, needs_down, needs_down_bias, *_ = ctx.needs_input_grad
        dy = dy.reshape(-1, dy.shape[-1])  # (M, C)
        rows = x.reshape(-1, x.shape[-1])
        if not ctx.kept:  # a second backward of the same graph: the first has overwritten it
            hidden = linear(rows, up)
        ctx.kept = False
        flat = hidden.view(-1, hidden.shape[-1])
        d_hidden, d_up_bias, activated = backward_and_forward(_product(dy, down), flat, up_bias, ctx.kind, ctx.backend)
        d_down = _product(dy.t(), activated) if needs_down else None
        del activated
        d_down_bias = dy.sum(0) if needs_down_bias else None
        d_up = _product(d_hidden.t(), rows) if needs_up else None
        dx = _product(d_hidden, up).view(x.shape) if needs_x else None
        return dx, d_up, d_up_bias if needs_up_bias else None, d_down, d_down_bias, None, None


def mlp(
    x: Tensor,
    up: Tensor,
    up_bias: Tensor | None,
    down: Tensor,
    down_bias: Tensor | None,
    *,
    kind: str,
    backend: str = "auto",
) -> Tensor:
    """activation(x upᵀ + up_bias) downᵀ + down_bias: x (…, C) -> (…, C), in x's dtype.

    kind: gelu, relu2 (up (F, C), down (C, F)) or swiglu (up (2 F, C), gate and value). Of the two wide tensors only the
    one before the activation is kept for the backward. `backend` is the activation's. UserError on what does not fit.
    """
    if kind not in KINDS:
        raise UserError(f"kind is {kind!r}; expected {', '.join(KINDS)}")
    halves = 2 if kind == "swiglu" else 1
    if up.dim() != 2 or down.dim() != 2 or up.shape[0] != halves * down.shape[1]:
        raise UserError(f"up {tuple(up.shape)} and down {tuple(down.shape)} do not fit each other in a {kind} MLP")
    if up_bias is not None and up_bias.shape != up.shape[:1]:
        raise UserError(f"up_bias {tuple(up_bias.shape)} does not fit up {tuple(up.shape)}; expected ({up.shape[0]},)")
    chosen = ACTIVATION.choose(x, backend)
    return _Mlp.apply(x, up, up_bias, down, down_bias, KINDS[kind], chosen)
