"""AdamW: the op's registration and the public function. The maths: reference.py, docs/adamw.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor

from jarvis_nano.errors import UserError

from .. import backends
from ..backends import Kernel
from . import reference

_STEP = (
    "(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avg, Tensor(c!)[] exp_avg_sq, Tensor lr,"
    " Tensor weight_decay, Tensor step, float beta1, float beta2, float eps, float? max_norm)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)


def _fake_step(
    params: list[Tensor], grads: list[Tensor], *settings: object, **more: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n, first = len(params), params[0]
    return first.new_empty(n), first.new_empty(n), first.new_empty(n), first.new_empty(())


for _overload in ("", ".triton"):
    backends.LIBRARY.define(f"adamw_step{_overload}{_STEP}", tags=torch.Tag.pt2_compliant_tag)
    torch.library.register_fake(f"jarvis_nano::adamw_step{_overload}", _fake_step, lib=backends.LIBRARY)


def _no_backward(*unused: object) -> None:
    raise NotImplementedError("an optimizer's step has no gradient")


def _reference() -> Kernel:
    return Kernel(reference.step, _no_backward)


def _compiled() -> Kernel:
    op = torch.ops.jarvis_nano.adamw_step.default

    def step(
        params: list[Tensor], grads: list[Tensor], exp_avg: list[Tensor], exp_avg_sq: list[Tensor], *settings: object
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if torch.compiler.is_compiling():
            return op(params, grads, exp_avg, exp_avg_sq, *settings)
        try:
            norms = op(params, grads, exp_avg, exp_avg_sq, *settings)
        except RuntimeError:
            _require_fit(params, grads, exp_avg, exp_avg_sq)
            _require_updatable(params, grads, exp_avg, exp_avg_sq)
            raise
        # The dispatcher counts no changes by an op of a library: autograd must know that saved tensors have changed.
        torch.autograd.graph.increment_version((*params, *exp_avg, *exp_avg_sq))
        return norms

    return Kernel(step, _no_backward)


def _triton() -> Kernel:
    kernel = import_module(".triton_kernel", __package__)
    backends.implement_in_triton("adamw_step", kernel.step)
    return Kernel(torch.ops.jarvis_nano.adamw_step.triton, _no_backward)


OP = backends.Op(
    "adamw_step",
    load={"reference": _reference, "cpp": _compiled, "triton": _triton},
    dtypes={"cpp": (torch.float32,), "triton": (torch.float32,)},
)


GRADIENT_DTYPES = (torch.float32, torch.bfloat16, torch.float16)  # of the compiled kernel


class AdamWNorms(NamedTuple):
    """2-norms of one step, on the tensors' device: nothing has waited for them."""

    gradient: Tensor  #: (n_tensors,), before clipping
    update: Tensor  #: (n_tensors,), of what was added to the weights, decay included
    weight: Tensor  #: (n_tensors,), after the step
    total_gradient: Tensor  #: (), of all gradients together, before clipping


def adamw_step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avg: Sequence[Tensor],
    exp_avg_sq: Sequence[Tensor],
    *,
    lr: float | Sequence[float] | Tensor,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float | Sequence[float] | Tensor = 0.0,
    step: int | Tensor,
    max_norm: float | None = None,
    backend: str = "auto",
) -> AdamWNorms:
    """One step of AdamW on all tensors, in place: params, exp_avg and exp_avg_sq change, grads do not.

    First all gradients times min(1, max_norm / (their norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ (None or inf: no
    clipping). Then as torch.optim.AdamW: m = β₁ m + (1-β₁) g, v = β₂ v + (1-β₂) g², p = p (1 - lr · weight_decay)
    - lr · m / (1-β₁ᵗ) / (√(v / (1-β₂ᵗ)) + eps), with t = `step`, 1 the first time (Loshchilov and Hutter, 2019).

    lr and weight_decay: one value, or one a tensor. As tensors on the GPU, lr and step are read there at run time, so
    that a replayed CUDA graph sees them change; as numbers they are part of the graph. UserError on what does not fit.
    """
    n = len(params)
    if n == 0:
        raise UserError("no parameters to update")
    chosen = OP.choose(params[0], backend)
    if chosen != "cpp":  # which looks itself: from here it would cost as much as the call
        _require_fit(params, grads, exp_avg, exp_avg_sq)
    if isinstance(step, int) and step < 1:
        raise UserError(f"step {step}; the first step is 1")
    rates, decays = _one_or_each("lr", lr, n), _one_or_each("weight_decay", weight_decay, n)
    t = step if isinstance(step, Tensor) else torch.tensor(step)
    if max_norm == math.inf:
        max_norm = None
    lists = list(params), list(grads), list(exp_avg), list(exp_avg_sq)
    with torch.no_grad():
        norms = OP.kernels[chosen].forward(*lists, rates, decays, t, *betas, eps, max_norm)
    return AdamWNorms(*norms)


def _one_or_each(name: str, value: float | Sequence[float] | Tensor, n: int) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    if tensor.shape not in ((), (n,)):
        raise UserError(f"{name} has the shape {tuple(tensor.shape)}; expected one value, or one a tensor: {n}")
    return tensor


def _require_fit(
    params: Sequence[Tensor], grads: Sequence[Tensor], exp_avg: Sequence[Tensor], exp_avg_sq: Sequence[Tensor]
) -> None:
    for name, tensors in (("gradients", grads), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        if len(tensors) != len(params):
            raise UserError(f"{len(tensors)} {name} for {len(params)} parameters")
        for i, (p, tensor) in enumerate(zip(params, tensors, strict=True)):
            if tensor.shape != p.shape or tensor.device != p.device:
                raise UserError(
                    f"{name}[{i}] is {tuple(tensor.shape)} on {tensor.device}, "
                    f"its parameter {tuple(p.shape)} on {p.device}"
                )


def _require_updatable(
    params: list[Tensor], grads: list[Tensor], exp_avg: list[Tensor], exp_avg_sq: list[Tensor]
) -> None:
    """What the compiled kernel asks for besides."""
    for name, tensors in (("params", params), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        for i, tensor in enumerate(tensors):
            if tensor.dtype != torch.float32 or not tensor.is_contiguous():
                raise UserError(
                    f"adamw_step in cpp updates contiguous float32 tensors in place; {name}[{i}] is {tensor.dtype} "
                    f"with strides {tensor.stride()}; backend='reference' takes it"
                )
    for i, grad in enumerate(grads):
        if grad.dtype not in GRADIENT_DTYPES:
            takes = ", ".join(map(str, GRADIENT_DTYPES))
            raise UserError(f"adamw_step in cpp takes gradients in {takes}; grads[{i}] is {grad.dtype}")
