"""Output head with cross-entropy: the op's registration and the public function. The maths: reference.py,
docs/cross_entropy.md."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from jarvis_nano.errors import UserError

from .. import backends
from ..backends import Kernel
from . import reference

_FORWARD = (
    "(Tensor x, Tensor weight, Tensor target, int ignore_index, float z_loss, bool needs_dx, bool needs_d_weight)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_BACKWARD = (
    "(Tensor d_loss, Tensor x, Tensor weight, Tensor target, Tensor dx, Tensor d_weight, int ignore_index,"
    " float z_loss, bool needs_dx, bool needs_d_weight) -> (Tensor, Tensor)"
)
_BACKWARD_IN_PLACE = (
    "(Tensor d_loss, Tensor x, Tensor weight, Tensor target, Tensor(a!) dx, Tensor(b!) d_weight, int ignore_index,"
    " float z_loss, bool needs_dx, bool needs_d_weight) -> ()"
)
_ROWS = (
    "(Tensor(a!) logits, Tensor target, Tensor(b!) loss, Tensor(c!) log_z, Tensor(d!) entropy, Tensor(e!) hit,"
    " float z_loss, bool gradient) -> ()"
)


def _fake_forward(
    x: Tensor, weight: Tensor, target: Tensor, ignore_index: int, z_loss: float, needs_dx: bool, needs_d_weight: bool
) -> tuple[Tensor, ...]:
    figures = (x.new_empty(x.shape[0], dtype=torch.float32) for _ in range(4))
    dx = x.new_empty(x.shape if needs_dx else 0, dtype=torch.float32)
    return *figures, dx, weight.new_empty(weight.shape if needs_d_weight else 0, dtype=torch.float32)


def _fake_backward(
    d_loss: Tensor,
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    dx: Tensor,
    d_weight: Tensor,
    ignore_index: int,
    z_loss: float,
    needs_dx: bool,
    needs_d_weight: bool,
) -> tuple[Tensor, Tensor]:
    return dx.new_empty(dx.shape, dtype=x.dtype), d_weight.new_empty(d_weight.shape, dtype=weight.dtype)


def _fake_in_place(*args) -> None:
    return None


for _name, _schema, _fake in (
    ("linear_cross_entropy", _FORWARD, _fake_forward),
    ("linear_cross_entropy.triton", _FORWARD, _fake_forward),
    ("linear_cross_entropy_backward", _BACKWARD, _fake_backward),
    ("linear_cross_entropy_backward.triton", _BACKWARD, _fake_backward),
    ("linear_cross_entropy_backward_", _BACKWARD_IN_PLACE, _fake_in_place),
    ("cross_entropy_rows_", _ROWS, _fake_in_place),
    ("use_huge_pages_", "(Tensor(a!) fresh) -> ()", _fake_in_place),
):
    backends.LIBRARY.define(_name + _schema, tags=torch.Tag.pt2_compliant_tag)
    torch.library.register_fake(f"jarvis_nano::{_name}", _fake, lib=backends.LIBRARY)


def _compiled() -> Kernel:
    chunks = import_module(".chunks", __package__)
    backends.LIBRARY.impl("linear_cross_entropy", chunks.forward, "CPU")
    backends.LIBRARY.impl("linear_cross_entropy_backward", chunks.backward, "CPU")
    backends.LIBRARY.impl("linear_cross_entropy_backward_", chunks.backward_in_place, "CPU")
    ops = torch.ops.jarvis_nano
    return Kernel(ops.linear_cross_entropy.default, ops.linear_cross_entropy_backward.default)


def _triton() -> Kernel:
    kernel = import_module(".triton_kernel", __package__)
    backends.implement_in_triton("linear_cross_entropy", kernel.forward)
    backends.implement_in_triton("linear_cross_entropy_backward", kernel.backward)
    ops = torch.ops.jarvis_nano
    return Kernel(ops.linear_cross_entropy.triton, ops.linear_cross_entropy_backward.triton)


OP = backends.Op(
    "linear_cross_entropy",
    load={"reference": lambda: Kernel(reference.forward, reference.backward), "cpp": _compiled, "triton": _triton},
    dtypes=dict.fromkeys(("cpp", "triton"), (torch.float32, torch.bfloat16, torch.float16)),
)


class LinearCrossEntropy(NamedTuple):
    """Figures per token, shaped like the targets, 0 where the target is ignored. Only `loss` has a gradient."""

    loss: Tensor  #: log_z - logit of the target + z_loss · log_z²
    log_z: Tensor  #: log of the softmax's denominator
    entropy: Tensor  #: of the softmax, in nats
    hit: Tensor  #: 1 where the target has the largest logit, else 0


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, target, ignore_index, z_loss, needs_dx, needs_d_weight, backend):  # type: ignore[override]
        settings = (ignore_index, z_loss, needs_dx, needs_d_weight)
        *figures, dx, d_weight = OP.kernels[backend].forward(x, weight, target, *settings)
        ctx.settings, ctx.backend = settings, backend
        # Outside of compiled graphs the C++ backward turns what forward prepared into the gradients, where it lies.
        ctx.in_place = backend == "cpp" and not torch.compiler.is_compiling()
        if ctx.in_place:
            ctx.save_for_backward(x, weight, target)
            ctx.prepared = dx, d_weight
        else:
            ctx.save_for_backward(x, weight, target, dx, d_weight)
        ctx.mark_non_differentiable(*figures[1:])
        ctx.set_materialize_grads(False)
        return tuple(figures)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss, *unused):  # type: ignore[override]
        if d_loss is None:
            return (None,) * 8
        _, _, needs_dx, needs_d_weight = ctx.settings
        if ctx.in_place:
            dx, d_weight = _backward_in_place(ctx, d_loss)
        else:
            dx, d_weight = OP.kernels[ctx.backend].backward(d_loss, *ctx.saved_tensors, *ctx.settings)
        return dx if needs_dx else None, d_weight if needs_d_weight else None, *(None,) * 6


def _backward_in_place(ctx, d_loss: Tensor) -> tuple[Tensor, Tensor]:
    """The first backward takes what forward prepared; one that follows (retain_graph) has it prepared again."""
    x, weight, target = ctx.saved_tensors
    prepared, ctx.prepared = ctx.prepared, None
    if prepared is None:
        prepared = OP.kernels[ctx.backend].forward(x, weight, target, *ctx.settings)[4:]
    dx, d_weight = prepared
    torch.ops.jarvis_nano.linear_cross_entropy_backward_(d_loss, x, weight, target, dx, d_weight, *ctx.settings)
    return dx.to(x.dtype), d_weight.to(weight.dtype)


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    ignore_index: int = -100,
    z_loss: float = 0.0,
    backend: str = "auto",
) -> LinearCrossEntropy:
    """Cross-entropy of the logits x weightᵀ (no bias) against the targets; all logits are never held at once.

    x (…, C), weight (V, C), target (…) int64 -> four tensors shaped like target, float32 (float64 for float64). Take
    the mean over the counted tokens yourself: loss.sum() / (target != ignore_index).sum(), which makes the cheapest
    backward. x and weight may differ in dtype. On the CPU the arithmetic is float32 at least; GPU kernels multiply in
    x's dtype, under autocast in autocast's, and sum in float32. UserError on what does not fit; on a GPU a target that
    is no id makes its loss NaN, for a check would wait for the GPU. (z_loss: PaLM, Chowdhery et al. 2022, §5.)
    """
    if weight.dim() != 2 or x.dim() == 0 or x.shape[-1] != weight.shape[1] or weight.shape[0] == 0:
        raise UserError(
            f"weight {tuple(weight.shape)} does not fit x {tuple(x.shape)}; expected a width of {x.shape[-1:]}"
        )
    if target.shape != x.shape[:-1]:
        raise UserError(
            f"targets {tuple(target.shape)} for x {tuple(x.shape)}; expected one a row, {tuple(x.shape[:-1])}"
        )
    if target.dtype != torch.int64:
        raise UserError(f"targets in {target.dtype}; expected torch.int64")
    shape = target.shape
    if len(shape) != 1:
        x, target = x.reshape(-1, x.shape[-1]), target.reshape(-1)
    chosen = OP.choose(x if x.dtype == torch.float64 else weight, backend)
    if chosen == "triton" and torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))  # as F.linear would: the final norm's output is float32
    grad = torch.is_grad_enabled()
    needs_dx, needs_d_weight = grad and x.requires_grad, grad and weight.requires_grad
    if needs_dx or needs_d_weight:
        figures = _LinearCrossEntropy.apply(x, weight, target, ignore_index, z_loss, needs_dx, needs_d_weight, chosen)
    else:
        figures = OP.kernels[chosen].forward(x, weight, target, ignore_index, z_loss, False, False)[:4]
    if len(shape) != 1:
        figures = tuple(figure.view(shape) for figure in figures)
    return LinearCrossEntropy(*figures)
