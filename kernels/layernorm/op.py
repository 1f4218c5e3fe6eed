"""LayerNorm and RMSNorm: the ops' registration and the public functions. The maths: reference.py, docs/layernorm.md.

This op is the model for the others; docs/add-an-op.md walks through it.
"""

from __future__ import annotations

from importlib import import_module

import torch
from torch import Tensor

from jarvis_nano.errors import UserError

from .. import backends
from ..backends import Kernel
from . import reference

# One op, two overloads: the default one is compiled C++ on CPU tensors and CUDA on GPU tensors; `.triton` is Python.
# (An argument in place of the overload would put a Python function in front of every CUDA launch: 8 us.)
_FORWARD = "(Tensor x, Tensor? residual, Tensor weight, Tensor? bias, float eps, bool rms) -> (Tensor, Tensor, Tensor)"
_BACKWARD = (
    "(Tensor dy, Tensor? dtotal, Tensor total, Tensor weight, Tensor stats, bool rms, bool has_bias)"
    " -> (Tensor, Tensor, Tensor)"
)


def _fake_forward(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, eps: float, rms: bool
) -> tuple[Tensor, Tensor, Tensor]:
    rows = x.numel() // x.shape[-1] if x.shape[-1] != 0 else 0
    total = x.new_empty(0 if residual is None else x.shape)
    stats = x.new_empty((1 if rms else 2, rows), dtype=torch.float32)
    return x.new_empty(x.shape), total, stats


def _fake_backward(
    dy: Tensor, dtotal: Tensor | None, total: Tensor, weight: Tensor, stats: Tensor, rms: bool, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        total.new_empty(total.shape),
        weight.new_empty(weight.shape),
        weight.new_empty(weight.shape if has_bias else 0),
    )


for _overload in ("", ".triton"):
    for _name, _schema, _fake in (
        ("layer_norm", _FORWARD, _fake_forward),
        ("layer_norm_backward", _BACKWARD, _fake_backward),
    ):
        backends.LIBRARY.define(f"{_name}{_overload}{_schema}", tags=torch.Tag.pt2_compliant_tag)
        torch.library.register_fake(f"jarvis_nano::{_name}{_overload}", _fake, lib=backends.LIBRARY)


def _compiled() -> Kernel:
    ops = torch.ops.jarvis_nano
    return Kernel(ops.layer_norm.default, ops.layer_norm_backward.default)


def _triton() -> Kernel:
    kernel = import_module(".triton_kernel", __package__)
    backends.implement_in_triton("layer_norm", kernel.forward)
    backends.implement_in_triton("layer_norm_backward", kernel.backward)
    ops = torch.ops.jarvis_nano
    return Kernel(ops.layer_norm.triton, ops.layer_norm_backward.triton)


OP = backends.Op(
    "layer_norm",
    load={
        "reference": lambda: Kernel(reference.forward, reference.backward),
        "cpp": _compiled,
        "triton": _triton,
        "cuda": _compiled,
    },
    dtypes={
        "cpp": (torch.float32, torch.bfloat16, torch.float16),
        "triton": (torch.float32, torch.bfloat16, torch.float16),
        "cuda": (torch.float32, torch.bfloat16, torch.float16),
    },
    widths={"triton": range(4097)},  # triton_kernel.MAX_COLUMNS
)


class _Norm(torch.autograd.Function):
    """The gradient. A Function around the op costs 3 us a call; torch.library.register_autograd costs 29."""

    @staticmethod
    def forward(ctx, x, residual, weight, bias, eps, rms, backend):  # type: ignore[override]
        y, total, stats = OP.kernels[backend].forward(x, residual, weight, bias, eps, rms)
        ctx.save_for_backward(x if residual is None else total, weight, stats)
        ctx.rms, ctx.has_bias, ctx.backend = rms, bias is not None, backend
        ctx.set_materialize_grads(False)
        return y if residual is None else (y, total)

    @staticmethod
    def backward(ctx, dy, dtotal=None):  # type: ignore[override]
        total, weight, stats = ctx.saved_tensors
        if dy is None:  # only the sum was used
            return dtotal, dtotal, None, None, None, None, None
        backward = OP.kernels[ctx.backend].backward
        dx, dweight, dbias = backward(dy, dtotal, total, weight, stats, ctx.rms, ctx.has_bias)
        return dx, dx if ctx.needs_input_grad[1] else None, dweight, dbias if ctx.has_bias else None, None, None, None


def _norm(x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, eps: float, rms: bool, backend: str):
    if weight.dim() != 1 or x.dim() == 0 or x.shape[-1] != weight.shape[0]:
        raise UserError(f"weight {tuple(weight.shape)} does not fit the rows of x {tuple(x.shape)}")
    if bias is not None and bias.shape != weight.shape:
        raise UserError(f"bias {tuple(bias.shape)} and weight {tuple(weight.shape)} differ")
    if residual is not None:
        if residual.shape != x.shape:
            raise UserError(
                f"residual {tuple(residual.shape)} and x {tuple(x.shape)} differ; they are added, not broadcast"
            )
        if residual.dtype != x.dtype:  # under autocast a bfloat16 branch joins a float32 stream
            dtype = torch.promote_types(x.dtype, residual.dtype)
            x, residual = x.to(dtype), residual.to(dtype)
    chosen = OP.choose(x, backend)
    if torch.is_grad_enabled() and (
        x.requires_grad
        or weight.requires_grad
        or (residual is not None and residual.requires_grad)
        or (bias is not None and bias.requires_grad)
    ):
        return _Norm.apply(x, residual, weight, bias, eps, rms, chosen)
    y, total, _ = OP.kernels[chosen].forward(x, residual, weight, bias, eps, rms)
    return y if residual is None else (y, total)


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    eps: float = 1e-5,
    backend: str = "auto",
):
    """Each row to mean 0 and variance 1, then scaled and shifted: (x - mean) / sqrt(var + eps) · weight + bias.

    x, residual (…, C); weight, bias (C) -> (…, C) in x's dtype. With a residual: (norm(x + residual), x + residual),
    both in the wider of the two dtypes. Statistics and sums in float32. UserError on shapes that do not fit.
    """
    return _norm(x, residual, weight, bias, eps, False, backend)


def rms_norm(x: Tensor, weight: Tensor, *, residual: Tensor | None = None, eps: float = 1e-5, backend: str = "auto"):
    """Each row to root mean square 1, then scaled: x / sqrt(mean(x²) + eps) · weight. Otherwise as layer_norm."""
    return _norm(x, residual, weight, None, eps, True, backend)
