"""Rotary positions: the op's registration and the public function. The maths: reference.py, docs/rotary.md."""

from __future__ import annotations

from importlib import import_module

import torch
from torch import Tensor

from jarvis_nano.errors import UserError

from .. import backends
from ..backends import Kernel
from . import reference

_SCHEMA = "(Tensor x, Tensor cos, Tensor sin, Tensor? positions) -> Tensor"


def _fake(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None) -> Tensor:
    return x.new_empty(x.shape)


# One op, two overloads: the default one is compiled C++, `.triton` is Python.
for _name in ("rotary", "rotary_backward", "rotary.triton", "rotary_backward.triton"):
    backends.LIBRARY.define(_name + _SCHEMA, tags=torch.Tag.pt2_compliant_tag)
    torch.library.register_fake(f"jarvis_nano::{_name}", _fake, lib=backends.LIBRARY)


def _compiled() -> Kernel:
    ops = torch.ops.jarvis_nano
    return Kernel(ops.rotary.default, ops.rotary_backward.default)


def _triton() -> Kernel:
    kernel = import_module(".triton_kernel", __package__)
    backends.implement_in_triton("rotary", kernel.forward)
    backends.implement_in_triton("rotary_backward", kernel.backward)
    ops = torch.ops.jarvis_nano
    return Kernel(ops.rotary.triton, ops.rotary_backward.triton)


OP = backends.Op(
    "rotary",
    load={
        "reference": lambda: Kernel(reference.forward, reference.backward),
        "cpp": _compiled,
        "triton": _triton,
    },
    dtypes=dict.fromkeys(("cpp", "triton"), (torch.float32, torch.bfloat16, torch.float16)),
)


class _Rotary(torch.autograd.Function):
    """The gradient: the same turn backwards. Nothing of x's size is kept."""

    @staticmethod
    def forward(ctx, x, cos, sin, positions, backend):  # type: ignore[override]
        ctx.save_for_backward(cos, sin, positions)
        ctx.backend = backend
        return OP.kernels[backend].forward(x, cos, sin, positions)

    @staticmethod
    def backward(ctx, dy):  # type: ignore[override]
        return OP.kernels[ctx.backend].backward(dy, *ctx.saved_tensors), None, None, None, None


def apply_rotary(
    x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None = None, *, backend: str = "auto"
) -> Tensor:
    """Each pair (i, i + D/2) of a head turned by the angle of its token's position (Su et al. 2021).

    x (B, T, H, D) with D even, of any strides: a slice of the packed projection is read in place. cos and sin
    (context, D/2) hold the cosine and the sine of position × frequency; positions (T,) or (B, T) int64, below context;
    0, 1, … T - 1 where none are given. -> (B, T, H, D), dense, in x's dtype; arithmetic in float32 at least. The
    tables get no gradient. UserError on shapes that do not fit. A position beyond the tables is an IndexError on the
    CPU; in Triton its token becomes NaN, for a check would wait for the GPU.
    """
    if x.dim() != 4 or x.shape[3] % 2:
        raise UserError(f"x {tuple(x.shape)}: expected (batch, time, heads, width) with an even width")
    B, T, _, D = x.shape
    if cos.dim() != 2 or cos.shape != sin.shape or cos.shape[1] != D // 2:
        raise UserError(
            f"cos {tuple(cos.shape)} and sin {tuple(sin.shape)} for heads of width {D}; expected (context, {D // 2})"
        )
    if positions is None:
        if cos.shape[0] < T:
            raise UserError(f"{T} tokens, but cos and sin have {cos.shape[0]} positions")
    elif tuple(positions.shape) not in ((T,), (B, T)) or positions.dtype != torch.int64:
        raise UserError(
            f"positions {tuple(positions.shape)} in {positions.dtype}; expected ({T},) or ({B}, {T}) in torch.int64"
        )
    chosen = OP.choose(x, backend)
    if torch.is_grad_enabled() and x.requires_grad:
        return _Rotary.apply(x, cos, sin, positions, chosen)
    return OP.kernels[chosen].forward(x, cos, sin, positions)
