"""Linear layers: the op's registration and the public functions. The maths: reference.py, docs/linear.md.

The compiled kernel multiplies float32 on a CPU's tiles (AMX). Everything else is torch's own product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jarvis_nano.errors import UserError

from .. import backends
from ..backends import Kernel
from . import reference

# Below this many multiplications a product takes less than 0.1 ms, and packing has no time to pay.
_WORTHWHILE = 2**24


def _fake_forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _fake_backward(
    dy: Tensor, x: Tensor, weight: Tensor, needs_dx: bool, needs_d_weight: bool, needs_d_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = ((needs_dx, x.shape), (needs_d_weight, weight.shape), (needs_d_bias, weight.shape[:1]))
    dx, d_weight, d_bias = (dy.new_empty(shape if needed else (0,)) for needed, shape in shapes)
    return dx, d_weight, d_bias


for _name, _schema, _fake in (
    ("linear", "(Tensor x, Tensor weight, Tensor? bias) -> Tensor", _fake_forward),
    (
        "linear_backward",
        "(Tensor dy, Tensor x, Tensor weight, bool needs_dx, bool needs_d_weight, bool needs_d_bias)"
        " -> (Tensor, Tensor, Tensor)",
        _fake_backward,
    ),
    ("matrix_product_", "(Tensor(a!) out, Tensor a, Tensor b, bool add) -> ()", lambda out, a, b, add: None),
):
    backends.LIBRARY.define(f"{_name}{_schema}", tags=torch.Tag.pt2_compliant_tag)
    torch.library.register_fake(f"jarvis_nano::{_name}", _fake, lib=backends.LIBRARY)
backends.LIBRARY.define("has_tiles() -> bool")


def _no_tiles() -> str | None:
    if backends.instruction_set() != "amx":
        return (
            "float32 on tiles of bfloat16 (AMX) has to be asked for where the processor has them, JARVIS_NANO_CPU=amx: "
            "1.5 times as fast as torch at best, slower on some shared machines (docs/linear.md)"
        )
    return None if torch.ops.jarvis_nano.has_tiles() else "the system does not grant this process the tiles (AMX)"


def _compiled() -> Kernel:
    ops = torch.ops.jarvis_nano
    return Kernel(ops.linear.default, ops.linear_backward.default)


OP = backends.Op(
    "linear",
    load={"reference": lambda: Kernel(reference.forward, reference.backward), "cpp": _compiled},
    dtypes={"cpp": (torch.float32,)},
    lacks={"cpp": _no_tiles},
)


@backends.constant_when_compiled
def _tiles_run() -> bool:
    return OP.why_not("cpp", "cpu") is None


_runs: bool | None = None  # whether the compiled kernel can run here; looked up once, at the first CPU call


def _pays(device: torch.device, dtypes: tuple[torch.dtype, ...], multiplications: int, rows: int) -> bool:
    """Whether "auto" takes the tiles: on this machine, for operands like these."""
    global _runs
    if device.type != "cpu" or backends.wished() not in ("auto", "cpp"):
        return False
    if torch.compiler.is_compiling():
        runs = _tiles_run()
    else:
        if _runs is None:
            _runs = _tiles_run()
        runs = _runs
    return runs and all(d == torch.float32 for d in dtypes) and rows >= 32 and multiplications >= _WORTHWHILE


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, backend):  # type: ignore[override]
        ctx.save_for_backward(x, weight)
        ctx.backend = backend
        return OP.kernels[backend].forward(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):  # type: ignore[override]
        x, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        gradients = OP.kernels[ctx.backend].backward(dy, x, weight, *needed)
        return *(gradient if wanted else None for gradient, wanted in zip(gradients, needed)), None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """x weightᵀ + bias: x (…, K), weight (N, K), bias (N) -> (…, N), in x's dtype.

    "auto" is torch's own linear, but for float32 on a CPU whose tiles are asked for (JARVIS_NANO_CPU=amx): there the
    product is computed on them, as exactly. UserError on shapes that do not fit.
    """
    if weight.dim() != 2 or x.dim() == 0 or x.shape[-1] != weight.shape[1]:
        raise UserError(f"weight {tuple(weight.shape)} does not fit x {tuple(x.shape)}; expected (N, K) and (…, K)")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise UserError(f"bias {tuple(bias.shape)} does not fit weight {tuple(weight.shape)}; expected (N,)")
    if backend == "auto":
        dtypes = (x.dtype, weight.dtype, x.dtype if bias is None else bias.dtype)
        size = x.numel() * weight.shape[0]
        if not _pays(x.device, dtypes, size, x.numel() // max(1, x.shape[-1])) or torch.is_autocast_enabled("cpu"):
            return F.linear(x, weight, bias)
        backend = "cpp"
    chosen = OP.choose(x, backend)
    if torch.is_grad_enabled() and (
        x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    ):
        return _Linear.apply(x, weight, bias, chosen)
    return OP.kernels[chosen].forward(x, weight, bias)


def product(a: Tensor, b: Tensor, out: Tensor, *, add: bool = False) -> None:
    """out (M, N) = a (M, K) b (K, N), or out += a b: on tiles where "auto" would, else torch's. No gradient.

    Any strides; a and b are read in place where one of their strides is 1, out's last one has to be 1.
    """
    size = a.shape[0] * a.shape[1] * b.shape[1]
    if _pays(a.device, (a.dtype, b.dtype, out.dtype), size, a.shape[0]):
        torch.ops.jarvis_nano.matrix_product_(out, a, b, add)
    elif add:
        out.addmm_(a, b)
    else:
        torch.mm(a, b, out=out)
