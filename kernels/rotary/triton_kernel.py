"""Rotary positions in Triton: every value is read once and written once, the heads of a packed projection in place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ahead_of_time import Configuration

_PAIRS = 1024  # a program: 8 of each half in each of 128 threads, so that several loads are under way at once


@triton.jit
def _rotate(
    x_ptr, cos_ptr, sin_ptr, positions_ptr, y_ptr, n_rows, n_heads, n_tokens, half, context,
    x_batch, x_token, x_head, positions_batch,
    BACKWARD: tl.constexpr, HAS_POSITIONS: tl.constexpr, ROWS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Rows are the heads of all tokens, (B · T · H) of them; x has strides, y is dense."""
    # Rows are counted in 32 bits, for long divisions cost; 2^31 heads fill any GPU. Offsets have 64.
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    here = rows < n_rows
    token, head = rows // n_heads, rows % n_heads
    batch, time = (token // n_tokens).to(tl.int64), (token % n_tokens).to(tl.int64)
    if HAS_POSITIONS:
        position = tl.load(positions_ptr + batch * positions_batch + time, here, other=0)
    else:
        position = time
    pairs = tl.arange(0, HALF)
    mask = here[:, None] & (pairs < half)[None, :]
    # A position beyond the tables reads nothing, and shows.
    known = mask & ((position >= 0) & (position < context))[:, None]
    angle = position[:, None] * half + pairs[None, :]
    cos = tl.load(cos_ptr + angle, known, other=float("nan")).to(tl.float32)
    sin = tl.load(sin_ptr + angle, known, other=float("nan")).to(tl.float32)
    if BACKWARD:
        sin = -sin

    at = (batch * x_batch + time * x_token + head.to(tl.int64) * x_head)[:, None] + pairs[None, :]
    first = tl.load(x_ptr + at, mask, other=0.0).to(tl.float32)
    second = tl.load(x_ptr + at + half, mask, other=0.0).to(tl.float32)
    to = rows.to(tl.int64)[:, None] * (2 * half) + pairs[None, :]
    tl.store(y_ptr + to, (first * cos - second * sin).to(y_ptr.dtype.element_ty), mask)
    tl.store(y_ptr + to + half, (second * cos + first * sin).to(y_ptr.dtype.element_ty), mask)


def tile(half: int) -> tuple[int, int]:
    """ROWS, HALF; 4 warps."""
    wide = triton.next_power_of_2(half)
    return max(1, _PAIRS // wide), wide


def forward(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None) -> Tensor:
    """As reference.forward."""
    return _run(x, cos, sin, positions, backward=False)


def backward(dy: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None) -> Tensor:
    """As reference.backward."""
    return _run(dy, cos, sin, positions, backward=True)


def _run(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None, *, backward: bool) -> Tensor:
    B, T, H, D = x.shape
    y = torch.empty((B, T, H, D), dtype=x.dtype, device=x.device)
    if y.numel() == 0:
        return y
    if x.stride(3) != 1:
        x = x.contiguous()
    rows, half = tile(D // 2)
    if positions is not None:
        positions = positions.expand(B, T)
        positions = positions if positions.stride(1) == 1 else positions.contiguous()
    _rotate[(triton.cdiv(B * T * H, rows),)](
        x, cos.contiguous(), sin.contiguous(), positions, y, B * T * H, H, T, D // 2, cos.shape[0],
        x.stride(0), x.stride(1), x.stride(2), 0 if positions is None else positions.stride(0),
        BACKWARD=backward, HAS_POSITIONS=positions is not None, ROWS=rows, HALF=half, num_warps=4,
    )  # fmt: skip
    return y


def ahead_of_time(architecture: int) -> Iterator[Configuration]:
    """Both directions at the usual head widths and an odd one; the tile is the same for all architectures."""
    for (dtype, D), backward in itertools.product((("*bf16", 64), ("*bf16", 128), ("*fp32", 50)), (False, True)):
        rows, half = tile(D // 2)
        tensors = {"x_ptr": dtype, "cos_ptr": "*fp32", "sin_ptr": "*fp32", "positions_ptr": "*i64", "y_ptr": dtype}
        numbers = ("n_rows", "n_heads", "n_tokens", "half", "context")
        strides = ("x_batch", "x_token", "x_head", "positions_batch")
        signature = tensors | dict.fromkeys(numbers + strides, "i32")
        constants = {"BACKWARD": backward, "HAS_POSITIONS": True, "ROWS": rows, "HALF": half}
        divisible = ("half", *strides[:3]) if D % 32 == 0 else ()
        name = f"{'backward' if backward else 'forward'} {dtype[1:]} {D}"
        yield Configuration(name, _rotate, signature, constants, divisible=divisible)
