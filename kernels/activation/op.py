"""The MLP's activations: the op's registration and the public functions. The maths: reference.py,
docs/activation.md."""

from __future__ import annotations

from importlib import import_module

import torch
from torch import Tensor

from jarvis_nano.errors import UserError

from .. import backends
from ..backends import Kernel
from . import reference

_FORWARD = "(Tensor x, Tensor? bias, str kind) -> Tensor"
_BACKWARD = "(Tensor dy, Tensor x, Tensor? bias, str kind) -> (Tensor, Tensor)"


def _fake_forward(x: Tensor, bias: Tensor | None, kind: str) -> Tensor:
    return x.new_empty((*x.shape[:-1], x.shape[-1] // 2) if kind == "swiglu" else x.shape)


def _fake_backward(dy: Tensor, x: Tensor, bias: Tensor | None, kind: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(0) if bias is None else bias.new_empty(bias.shape)


# One op, two overloads: the default one is compiled C++, `.triton` is Python.
for _overload in ("", ".triton"):
    for _name, _schema, _fake in (
        ("activation", _FORWARD, _fake_forward),
        ("activation_backward", _BACKWARD, _fake_backward),
    ):
        backends.LIBRARY.define(f"{_name}{_overload}{_schema}", tags=torch.Tag.pt2_compliant_tag)
        torch.library.register_fake(f"jarvis_nano::{_name}{_overload}", _fake, lib=backends.LIBRARY)

backends.LIBRARY.define(
    "activation_backward_(Tensor(a!) dy, Tensor(b!) x, Tensor? bias, str kind) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)
torch.library.register_fake(
    "jarvis_nano::activation_backward_", lambda *inputs: _fake_backward(*inputs)[1], lib=backends.LIBRARY
)


def _compiled() -> Kernel:
    ops = torch.ops.jarvis_nano
    return Kernel(ops.activation.default, ops.activation_backward.default)


def _triton() -> Kernel:
    kernel = import_module(".triton_kernel", __package__)
    backends.implement_in_triton("activation", kernel.forward)
    backends.implement_in_triton("activation_backward", kernel.backward)
    ops = torch.ops.jarvis_nano
    return Kernel(ops.activation.triton, ops.activation_backward.triton)


OP = backends.Op(
    "activation",
    load={
        "reference": lambda: Kernel(reference.forward, reference.backward),
        "cpp": _compiled,
        "triton": _triton,
    },
    dtypes=dict.fromkeys(("cpp", "triton"), (torch.float32, torch.bfloat16, torch.float16)),
)


def backward_and_forward(
    dy: Tensor, x: Tensor, bias: Tensor | None, kind: str, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """-> dx, dbias (empty without a bias), and the forward's result again. dy and x, dense, may be lost: the compiled
    kernel writes the result and dx in their places."""
    if backend == "cpp" and not torch.compiler.is_compiling():
        dbias = torch.ops.jarvis_nano.activation_backward_(dy, x, bias, kind)
        return x, dbias, dy
    kernel = OP.kernels[backend]
    return *kernel.backward(dy, x, bias, kind), kernel.forward(x, bias, kind)


class _Activation(torch.autograd.Function):
    """The gradient, from x alone: it is the product's output, so keeping it writes nothing."""

    @staticmethod
    def forward(ctx, x, bias, kind, backend):  # type: ignore[override]
        ctx.save_for_backward(x, bias)
        ctx.kind, ctx.backend = kind, backend
        return OP.kernels[backend].forward(x, bias, kind)

    @staticmethod
    def backward(ctx, dy):  # type: ignore[override]
        x, bias = ctx.saved_tensors
        dx, dbias = OP.kernels[ctx.backend].backward(dy, x, bias, ctx.kind)
        return dx, None if bias is None else dbias, None, None


def _activation(x: Tensor, bias: Tensor | None, kind: str, backend: str) -> Tensor:
    if x.dim() == 0 or (bias is not None and bias.shape != x.shape[-1:]):
        raise UserError(f"bias {'' if bias is None else tuple(bias.shape)} does not fit the rows of x {tuple(x.shape)}")
    if kind == "swiglu" and x.shape[-1] % 2:
        raise UserError(f"swiglu takes gate and value side by side; the rows of x {tuple(x.shape)} are odd")
    chosen = OP.choose(x, backend)
    needs_gradient = torch.is_grad_enabled() and (x.requires_grad or (bias is not None and bias.requires_grad))
    if needs_gradient and chosen != "reference":  # which is torch's own functions: their gradients are fused already
        return _Activation.apply(x, bias, kind, chosen)
    return OP.kernels[chosen].forward(x, bias, kind)


def gelu(x: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """h Φ(h) with h = x + bias and Φ the normal distribution's: the exact GELU (Hendrycks & Gimpel 2016).

    x (…, C), bias (C) -> (…, C) in x's dtype. The bias is that of the linear layer before, left to this op: it is added
    in float32, and its gradient costs no pass of its own. UserError on shapes that do not fit.
    """
    return _activation(x, bias, "gelu", backend)


def swiglu(x: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """silu(gate) · value, the first and the second half of x + bias (Shazeer 2020). x (…, 2 C) -> (…, C); see gelu."""
    return _activation(x, bias, "swiglu", backend)


def relu_squared(x: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """max(x + bias, 0)² (So et al. 2021). x (…, C) -> (…, C); see gelu."""
    return _activation(x, bias, "relu_squared", backend)
