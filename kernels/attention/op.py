"""Causal attention: the op's registration and the public function. The maths: reference.py, docs/attention.md."""

from __future__ import annotations

import math
from importlib import import_module

import torch
from torch import Tensor

from jarvis_nano.errors import UserError

from .. import backends
from ..backends import Kernel
from . import reference

_FORWARD = "(Tensor q, Tensor k, Tensor v, float scale, int? window, Tensor? document) -> (Tensor, Tensor)"
_BACKWARD = (
    "(Tensor d_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, float scale, int? window, Tensor? document)"
    " -> (Tensor, Tensor, Tensor)"
)


def _empty_heads(like: Tensor) -> Tensor:
    """(B, H, T, D) lying as (B, T, H, D), as the kernels write it."""
    B, H, T, D = like.shape
    return like.new_empty((B, T, H, D)).transpose(1, 2)


def _fake_forward(
    q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None, document: Tensor | None
) -> tuple[Tensor, Tensor]:
    return _empty_heads(q), q.new_empty(q.shape[:3], dtype=torch.float32)


def _fake_backward(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    window: int | None,
    document: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_heads(q), _empty_heads(k), _empty_heads(v)


for _overload in ("", ".triton"):
    for _name, _schema, _fake in (
        ("causal_attention", _FORWARD, _fake_forward),
        ("causal_attention_backward", _BACKWARD, _fake_backward),
    ):
        backends.LIBRARY.define(f"{_name}{_overload}{_schema}", tags=torch.Tag.pt2_compliant_tag)
        torch.library.register_fake(f"jarvis_nano::{_name}{_overload}", _fake, lib=backends.LIBRARY)

_PACKED_BACKWARD = (
    "(Tensor d_out, Tensor qkv, Tensor out, Tensor lse, int n_heads, float scale, int? window, Tensor? document)"
    " -> Tensor"
)
backends.LIBRARY.define(f"causal_attention_packed_backward{_PACKED_BACKWARD}", tags=torch.Tag.pt2_compliant_tag)
torch.library.register_fake(
    "jarvis_nano::causal_attention_packed_backward",
    lambda d_out, qkv, *settings: qkv.new_empty(qkv.shape),
    lib=backends.LIBRARY,
)


def _compiled() -> Kernel:
    ops = torch.ops.jarvis_nano
    return Kernel(ops.causal_attention.default, ops.causal_attention_backward.default)


def _triton() -> Kernel:
    kernel = import_module(".triton_kernel", __package__)
    backends.implement_in_triton("causal_attention", kernel.forward)
    backends.implement_in_triton("causal_attention_backward", kernel.backward)
    ops = torch.ops.jarvis_nano
    return Kernel(ops.causal_attention.triton, ops.causal_attention_backward.triton)


OP = backends.Op(
    "causal_attention",
    load={
        "reference": lambda: Kernel(reference.forward, reference.backward),
        "cpp": _compiled,
        "triton": _triton,
        "cuda": _compiled,
    },
    dtypes={
        "cpp": (torch.float32, torch.bfloat16, torch.float16),
        "triton": (torch.float32, torch.bfloat16, torch.float16),
        "cuda": (torch.bfloat16, torch.float16),
    },
    widths={"triton": range(1, 257), "cuda": (64, 128)},
)


class _Attention(torch.autograd.Function):
    """The gradient; the scores are computed again from lse, so that nothing of size T · S is kept."""

    @staticmethod
    def forward(ctx, q, k, v, scale, window, document, backend):  # type: ignore[override]
        out, lse = OP.kernels[backend].forward(q, k, v, scale, window, document)
        ctx.save_for_backward(q, k, v, out, lse, document)
        ctx.scale, ctx.window, ctx.backend = scale, window, backend
        return out

    @staticmethod
    def backward(ctx, d_out):  # type: ignore[override]
        q, k, v, out, lse, document = ctx.saved_tensors
        backward = OP.kernels[ctx.backend].backward
        dq, dk, dv = backward(d_out, q, k, v, out, lse, ctx.scale, ctx.window, document)
        return dq, dk, dv, None, None, None, None


class _PackedAttention(torch.autograd.Function):
    """The same for q, k and v side by side: one gradient, which the C++ kernel writes in place of joining three."""

    @staticmethod
    def forward(ctx, qkv, n_heads, scale, window, document, backend):  # type: ignore[override]
        out, lse = OP.kernels[backend].forward(*_heads(qkv, n_heads), scale, window, document)
        ctx.save_for_backward(qkv, out, lse, document)
        ctx.settings, ctx.backend = (n_heads, scale, window), backend
        return out

    @staticmethod
    def backward(ctx, d_out):  # type: ignore[override]
        qkv, out, lse, document = ctx.saved_tensors
        n_heads, scale, window = ctx.settings
        if ctx.backend == "cpp":
            backward = torch.ops.jarvis_nano.causal_attention_packed_backward
            return backward(d_out, qkv, out, lse, n_heads, scale, window, document), *(None,) * 5
        parts = OP.kernels[ctx.backend].backward(d_out, *_heads(qkv, n_heads), out, lse, scale, window, document)
        return torch.cat(parts, dim=1).transpose(1, 2), *(None,) * 5


def _heads(qkv: Tensor, n_heads: int) -> tuple[Tensor, ...]:
    """q, k, v of a packed projection (B, T, H + 2 Hkv, D), each (B, heads, T, D), as views."""
    kv_heads = (qkv.shape[2] - n_heads) // 2
    return qkv.transpose(1, 2).split((n_heads, kv_heads, kv_heads), dim=1)


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
    """Attention of each position over itself and its past: softmax(q kᵀ · scale) v.

    q (B, H, T, D); k, v (B, Hkv, S, D) with H a multiple of Hkv -> (B, H, T, D), in q's dtype; it lies in memory as
    (B, T, H, D), so transpose(1, 2).reshape(B, T, H * D) copies nothing. With S > T the queries are the last T
    positions (a KV cache). Any strides: the heads of a packed projection are read in place.

    scale: 1 / sqrt(D) unless given. window: a position sees itself and the window - 1 before it. document: ids (B, S),
    whole numbers; a position sees only the run of equal ids that it stands in, so texts packed in one row stay apart.
    UserError on what does not fit. (Attention: Vaswani et al. 2017, §3.2.1; in tiles: Dao et al. 2022, algorithm 1.)
    """
    if torch.is_autocast_enabled(q.device.type) and not q.dtype == k.dtype == v.dtype:
        dtype = torch.get_autocast_dtype(q.device.type)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    _check(q, k, v, window, document)
    if scale is None:
        scale = 1.0 / math.sqrt(q.shape[3])
    chosen = OP.choose(q, backend)
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        return _Attention.apply(q, k, v, scale, window, document, chosen)
    return OP.kernels[chosen].forward(q, k, v, scale, window, document)[0]


def causal_attention_packed(
    qkv: Tensor,
    n_heads: int,
    *,
    scale: float | None = None,
    window: int | None = None,
    document: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """causal_attention of q, k and v as one projection makes them: qkv (B, T, H + 2 Hkv, D) -> (B, H, T, D).

    The first n_heads = H heads are q's, then k's, then v's. The gradient comes in one piece, where that of three views
    would have to be joined. Everything else as in causal_attention.
    """
    if qkv.dim() != 4 or n_heads < 1 or qkv.shape[2] <= n_heads or (qkv.shape[2] - n_heads) % 2:
        raise UserError(f"qkv {tuple(qkv.shape)} with {n_heads} query heads: expected (batch, time, H + 2 Hkv, width)")
    q, k, v = _heads(qkv, n_heads)
    if not (torch.is_grad_enabled() and qkv.requires_grad):
        return causal_attention(q, k, v, scale=scale, window=window, document=document, backend=backend)
    _check(q, k, v, window, document)
    if scale is None:
        scale = 1.0 / math.sqrt(q.shape[3])
    return _PackedAttention.apply(qkv, n_heads, scale, window, document, OP.choose(qkv, backend))


def _check(q: Tensor, k: Tensor, v: Tensor, window: int | None, document: Tensor | None) -> None:
    if q.dim() != 4 or k.dim() != 4:
        raise UserError(
            f"q {tuple(q.shape)} and k {tuple(k.shape)}: expected four dimensions, (batch, heads, time, width)"
        )
    B, H, T, D = q.shape
    _, Hkv, S, _ = k.shape
    if k.shape != v.shape or k.shape[0] != B or k.shape[3] != D or D == 0:
        raise UserError(
            f"k {tuple(k.shape)} and v {tuple(v.shape)} do not go with q {tuple(q.shape)}; expected (batch, key heads, "
            "keys, width) with q's batch and width, the width at least 1"
        )
    if Hkv == 0 or H % Hkv:
        raise UserError(
            f"{H} query heads cannot share {Hkv} key heads evenly; the first must be a multiple of the second"
        )
    if S < T:
        raise UserError(f"{T} queries but {S} keys; the queries are the last of the keys' positions")
    if not q.dtype == k.dtype == v.dtype:
        raise UserError(f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}; give them one dtype")
    if window is not None and window < 1:
        raise UserError(f"a window of {window}; expected at least 1, which is the position itself")
    if document is not None and (document.shape != (B, S) or document.is_floating_point()):
        raise UserError(
            f"document ids {tuple(document.shape)} in {document.dtype}; expected whole numbers ({B}, {S}), one a key"
        )
