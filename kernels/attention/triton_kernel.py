"""Causal attention in Triton, forward and backward, in tiles; docs/attention.md has the maths and the design.

Four kernels. `_forward` keeps a running softmax over tiles of keys. `_delta` sums out · d_out a row, then
`_key_gradient` walks over the queries of a tile of keys and `_query_gradient` over the keys of a tile of queries: seven
products in place of five, and no atomics, so that repeats are equal bit for bit. A walk is begin, full, cut, end: from
full to cut no mask cuts a tile, these come first; the tiles before and after are masked; what nobody sees is not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from jarvis_nano.errors import UserError

from ..ahead_of_time import Configuration
from .tiles import padded, tiles

MAX_WIDTH = 256
_LOG2_E = math.log2(math.e)
_SCAN = 1024  # positions at a time where documents are looked up


@triton.jit
def _larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def _first_visible(document_ptr, first_ptr, T, S, window, HAS_DOCUMENT: tl.constexpr, BLOCK: tl.constexpr):
    """The first key that each query sees: where its document starts (a run of equal ids), or its window."""
    batch = tl.program_id(0).to(tl.int64)
    start_so_far = 0
    for begin in range(0, S, BLOCK):
        key = begin + tl.arange(0, BLOCK)
        first = tl.maximum(key - window + 1, 0)
        if HAS_DOCUMENT:
            ids = tl.load(document_ptr + batch * S + key, key < S, other=0)
            before = tl.load(document_ptr + batch * S + key - 1, (key < S) & (key > 0), other=0)
            starts = tl.where((ids != before) & (key > 0) & (key < S), key, 0)
            document = tl.maximum(tl.associative_scan(starts, 0, _larger), start_so_far)
            start_so_far = tl.max(document)
            first = tl.maximum(first, document)
        tl.store(first_ptr + batch * T + key - (S - T), first, (key >= S - T) & (key < S))


@triton.jit
def _tile_and_head(n_tiles, n_heads, heads_at_a_time):
    """The program's tile and its head: all tiles of a few heads, whose keys fit the L2 cache, before the next heads."""
    program = tl.program_id(0)
    first_head = program // (heads_at_a_time * n_tiles) * heads_at_a_time
    heads = tl.minimum(heads_at_a_time, n_heads - first_head)
    within = program % (heads_at_a_time * n_tiles)
    return within // heads, first_head + within % heads


@triton.jit
def _load_tile(ptr, row, n_rows, stride, width, MASK_ROWS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
               EVEN_WIDTH: tl.constexpr):  # fmt: skip
    """Rows `row`… of a matrix, (ROWS, WIDTH); zeros past its end. The tile's offset is 64 bits wide, those in it 32."""
    at = tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    pointers = ptr + tl.cast(row, tl.int64) * stride + at[:, None] * stride + column[None, :]
    if MASK_ROWS:
        here = (row + at < n_rows)[:, None]
        if not EVEN_WIDTH:
            here = here & (column < width)[None, :]
        return tl.load(pointers, here, other=0.0)
    elif EVEN_WIDTH:
        return tl.load(pointers)
    else:
        return tl.load(pointers, (column < width)[None, :], other=0.0)


@triton.jit
def _store_tile(ptr, values, row, n_rows, stride, width, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    at = tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    pointers = ptr + tl.cast(row, tl.int64) * stride + at[:, None] * stride + column[None, :]
    tl.store(pointers, values.to(ptr.dtype.element_ty), (row + at < n_rows)[:, None] & (column < width)[None, :])


@triton.jit
def _keys_of_a_query_tile(first_ptr, row, T, S, HAS_FIRST: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Keys begin … end, the first three multiples of BLOCK_N: from `full` to `cut` no mask cuts."""
    cut = (S - T + row + 1) // BLOCK_N * BLOCK_N
    end = tl.minimum(S, S - T + row + BLOCK_M)
    begin = 0
    full = 0
    if HAS_FIRST:
        begin = tl.load(first_ptr + row) // BLOCK_N * BLOCK_N
        last = tl.load(first_ptr + tl.minimum(row + BLOCK_M, T) - 1)
        full = tl.minimum((last + BLOCK_N - 1) // BLOCK_N * BLOCK_N, cut)
    return begin, full, cut, end


@triton.jit
def _n_cut(begin, full, cut, end, BLOCK: tl.constexpr):
    """How many tiles a mask cuts: those from begin to full, and those from cut to end."""
    return tl.cdiv(full - begin, BLOCK) + tl.cdiv(tl.maximum(end - cut, 0), BLOCK)


@triton.jit
def _place(i, begin, full, cut, BLOCK: tl.constexpr):
    """Where the i-th tile that a mask cuts begins."""
    place = begin + i * BLOCK
    return tl.where(place < full, place, place - full + cut)


@triton.jit
def _visible(query, key, first, HAS_FIRST: tl.constexpr):
    """Whether queries (a column or a row of positions) see keys (the other)."""
    seen = key <= query
    if HAS_FIRST:
        seen = seen & (key >= first)
    return seen


@triton.jit
def _attend(total, weight, peak, q, query, first, k_ptr, v_ptr, k_time, v_time, S, D, scale, walk,
            MASKED: tl.constexpr, HAS_FIRST: tl.constexpr, WIDTH: tl.constexpr, EVEN_WIDTH: tl.constexpr,
            BLOCK_N: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Takes the masked tiles, or the others, into a running softmax: total = Σ 2^(score - peak) v, weight alike."""
    begin, full, cut, end = walk
    n_tiles = _n_cut(begin, full, cut, end, BLOCK_N) if MASKED else (cut - full) // BLOCK_N
    for i in range(n_tiles):
        start = _place(i, begin, full, cut, BLOCK_N) if MASKED else full + i * BLOCK_N
        k = _load_tile(k_ptr, start, S, k_time, D, MASKED, BLOCK_N, WIDTH, EVEN_WIDTH)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        if MASKED:
            key = start + tl.arange(0, BLOCK_N)
            seen = _visible(query[:, None], key[None, :], first[:, None], HAS_FIRST)
            scores = tl.where(seen, scores, float("-inf"))
        highest = tl.maximum(peak, tl.max(scores, 1) * scale)
        p = tl.math.exp2(scores * scale - highest[:, None])
        shrink = tl.math.exp2(peak - highest)
        weight = weight * shrink + tl.sum(p, 1)
        v = _load_tile(v_ptr, start, S, v_time, D, MASKED, BLOCK_N, WIDTH, EVEN_WIDTH)
        total = tl.dot(p.to(v.dtype), v, total * shrink[:, None], input_precision=PRECISION)
        peak = highest
    return total, weight, peak


@triton.jit
def _forward(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, first_ptr, q_batch, q_head, q_time, k_batch, k_head, k_time,
    v_batch, v_head, v_time, out_batch, out_head, out_time, n_heads, H, group, heads_at_a_time, T, S, D, scale,
    HAS_FIRST: tl.constexpr, WIDTH: tl.constexpr, EVEN_WIDTH: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    n_tiles = tl.cdiv(T, BLOCK_M)
    tile, head = _tile_and_head(n_tiles, n_heads, heads_at_a_time)
    row = (n_tiles - 1 - tile) * BLOCK_M  # the last queries see the most keys: the longest walks start first
    b = (head // H).to(tl.int64)
    h = (head % H).to(tl.int64)
    k_ptr += b * k_batch + h // group * k_head
    v_ptr += b * v_batch + h // group * v_head
    first_ptr += b * T
    rows = row + tl.arange(0, BLOCK_M)
    query = S - T + rows
    first = query
    if HAS_FIRST:
        first = tl.load(first_ptr + rows, rows < T, other=0)
    q = _load_tile(q_ptr + b * q_batch + h * q_head, row, T, q_time, D, True, BLOCK_M, WIDTH, EVEN_WIDTH)

    total = tl.zeros((BLOCK_M, WIDTH), tl.float32)
    weight = tl.zeros((BLOCK_M,), tl.float32)
    # Not -inf: in a tile of which a row sees nothing, -inf - -inf would be nan.
    peak = tl.full((BLOCK_M,), -1e30, tl.float32)
    walk = _keys_of_a_query_tile(first_ptr, row, T, S, HAS_FIRST, BLOCK_M, BLOCK_N)
    total, weight, peak = _attend(total, weight, peak, q, query, first, k_ptr, v_ptr, k_time, v_time, S, D, scale, walk,
                                  False, HAS_FIRST, WIDTH, EVEN_WIDTH, BLOCK_N, PRECISION)  # fmt: skip
    total, weight, peak = _attend(total, weight, peak, q, query, first, k_ptr, v_ptr, k_time, v_time, S, D, scale, walk,
                                  True, HAS_FIRST, WIDTH, EVEN_WIDTH, BLOCK_N, PRECISION)  # fmt: skip

    _store_tile(out_ptr + b * out_batch + h * out_head, total / weight[:, None], row, T, out_time, D, BLOCK_M, WIDTH)
    lse = (peak + tl.math.log2(weight)) / 1.4426950408889634
    tl.store(lse_ptr + head.to(tl.int64) * T + rows, lse, rows < T)


@triton.jit
def _delta(out_ptr, d_out_ptr, delta_ptr, out_batch, out_head, out_time, d_batch, d_head, d_time, H, T, D,
           WIDTH: tl.constexpr, EVEN_WIDTH: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    """delta = Σ out · d_out a row, float32."""
    n_tiles = tl.cdiv(T, ROWS)
    head = tl.program_id(0) // n_tiles
    b = (head // H).to(tl.int64)
    h = (head % H).to(tl.int64)
    row = tl.program_id(0) % n_tiles * ROWS
    out = _load_tile(out_ptr + b * out_batch + h * out_head, row, T, out_time, D, True, ROWS, WIDTH, EVEN_WIDTH)
    d_out = _load_tile(d_out_ptr + b * d_batch + h * d_head, row, T, d_time, D, True, ROWS, WIDTH, EVEN_WIDTH)
    rows = row + tl.arange(0, ROWS)
    delta = tl.sum(out.to(tl.float32) * d_out.to(tl.float32), 1)
    tl.store(delta_ptr + head.to(tl.int64) * T + rows, delta, rows < T)


@triton.jit
def _gather_key_gradient(dk, dv, k, v, key, q_ptr, d_out_ptr, lse_ptr, delta_ptr, first_ptr, q_time, d_time, T, S, D,
                         scale, walk, MASKED: tl.constexpr, HAS_FIRST: tl.constexpr, WIDTH: tl.constexpr,
                         EVEN_WIDTH: tl.constexpr, BLOCK_M: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Adds what queries send to a tile of keys and values. Scores are transposed: keys down, queries across."""
    begin, full, cut, end = walk
    n_tiles = _n_cut(begin, full, cut, end, BLOCK_M) if MASKED else (cut - full) // BLOCK_M
    for i in range(n_tiles):
        row = _place(i, begin, full, cut, BLOCK_M) if MASKED else full + i * BLOCK_M
        rows = row + tl.arange(0, BLOCK_M)
        q = _load_tile(q_ptr, row, T, q_time, D, MASKED, BLOCK_M, WIDTH, EVEN_WIDTH)
        if MASKED:  # a row past the end has p = 2^-inf = 0
            lse = tl.load(lse_ptr + rows, rows < T, other=float("inf"))
            delta = tl.load(delta_ptr + rows, rows < T, other=0.0)
        else:
            lse = tl.load(lse_ptr + rows)
            delta = tl.load(delta_ptr + rows)
        scores = tl.dot(k, tl.trans(q), input_precision=PRECISION)
        p = tl.math.exp2(scores * scale - lse[None, :] * 1.4426950408889634)
        if MASKED:
            first = rows
            if HAS_FIRST:
                first = tl.load(first_ptr + rows, rows < T, other=0)
            p = tl.where(_visible((S - T + rows)[None, :], key[:, None], first[None, :], HAS_FIRST), p, 0.0)
        d_out = _load_tile(d_out_ptr, row, T, d_time, D, MASKED, BLOCK_M, WIDTH, EVEN_WIDTH)
        dv = tl.dot(p.to(d_out.dtype), d_out, dv, input_precision=PRECISION)
        dp = tl.dot(v, tl.trans(d_out), input_precision=PRECISION)
        ds = p * (dp - delta[None, :])
        dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION)
    return dk, dv


@triton.jit
def _queries_up_to(first_ptr, T, key, SCAN: tl.constexpr):
    """How many queries, from the first on, see `key` or one before it: `first` never falls."""
    n = 0
    for begin in range(0, T, SCAN):
        rows = begin + tl.arange(0, SCAN)
        first = tl.load(first_ptr + rows, rows < T, other=2147483647)
        n += tl.sum((first <= key).to(tl.int32))
    return n


@triton.jit
def _key_gradient(
    q_ptr, k_ptr, v_ptr, d_out_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, first_ptr, q_batch, q_head, q_time,
    k_batch, k_head, k_time, v_batch, v_head, v_time, d_batch, d_head, d_time, dk_batch, dk_head, dk_time,
    n_heads, H, group, heads_at_a_time, T, S, D, scale, scale_e,
    HAS_FIRST: tl.constexpr, WIDTH: tl.constexpr, EVEN_WIDTH: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr, SCAN: tl.constexpr,
):  # fmt: skip
    tile, head = _tile_and_head(tl.cdiv(S, BLOCK_N), n_heads, heads_at_a_time)  # the first keys are seen by the most
    b = (head // (H // group)).to(tl.int64)
    h = (head % (H // group)).to(tl.int64)
    start = tile * BLOCK_N
    key = start + tl.arange(0, BLOCK_N)
    k = _load_tile(k_ptr + b * k_batch + h * k_head, start, S, k_time, D, True, BLOCK_N, WIDTH, EVEN_WIDTH)
    v = _load_tile(v_ptr + b * v_batch + h * v_head, start, S, v_time, D, True, BLOCK_N, WIDTH, EVEN_WIDTH)
    first_ptr += b * T
    # Queries begin … end see some of these keys; from `full` to `cut` they see all, and none is past the end.
    begin = tl.maximum(start - (S - T), 0) // BLOCK_M * BLOCK_M
    full = tl.maximum(start + BLOCK_N - 1 - (S - T) + BLOCK_M - 1, 0) // BLOCK_M * BLOCK_M
    cut = T // BLOCK_M * BLOCK_M
    end = T
    if HAS_FIRST:
        end = _queries_up_to(first_ptr, T, start + BLOCK_N - 1, SCAN)
        cut = tl.minimum(cut, _queries_up_to(first_ptr, T, start, SCAN) // BLOCK_M * BLOCK_M)
    full = tl.minimum(full, tl.cdiv(end, BLOCK_M) * BLOCK_M)
    walk = (begin, full, tl.maximum(full, cut), end)

    dk = tl.zeros((BLOCK_N, WIDTH), tl.float32)
    dv = tl.zeros((BLOCK_N, WIDTH), tl.float32)
    for member in range(group):
        h_query = h * group + member
        q = q_ptr + b * q_batch + h_query * q_head
        d_out = d_out_ptr + b * d_batch + h_query * d_head
        lse = lse_ptr + (b * H + h_query) * T
        delta = delta_ptr + (b * H + h_query) * T
        dk, dv = _gather_key_gradient(dk, dv, k, v, key, q, d_out, lse, delta, first_ptr, q_time, d_time, T, S, D,
                                      scale, walk, False, HAS_FIRST, WIDTH, EVEN_WIDTH, BLOCK_M, PRECISION)  # fmt: skip
        dk, dv = _gather_key_gradient(dk, dv, k, v, key, q, d_out, lse, delta, first_ptr, q_time, d_time, T, S, D,
                                      scale, walk, True, HAS_FIRST, WIDTH, EVEN_WIDTH, BLOCK_M, PRECISION)  # fmt: skip
    at = b * dk_batch + h * dk_head
    _store_tile(dk_ptr + at, dk * scale_e, start, S, dk_time, D, BLOCK_N, WIDTH)
    _store_tile(dv_ptr + at, dv, start, S, dk_time, D, BLOCK_N, WIDTH)


@triton.jit
def _gather_query_gradient(dq, q, d_out, lse, delta, query, first, k_ptr, v_ptr, k_time, v_time, S, D, scale, walk,
                           MASKED: tl.constexpr, HAS_FIRST: tl.constexpr, WIDTH: tl.constexpr,
                           EVEN_WIDTH: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Adds what keys send to a tile of queries."""
    begin, full, cut, end = walk
    n_tiles = _n_cut(begin, full, cut, end, BLOCK_N) if MASKED else (cut - full) // BLOCK_N
    for i in range(n_tiles):
        start = _place(i, begin, full, cut, BLOCK_N) if MASKED else full + i * BLOCK_N
        k = _load_tile(k_ptr, start, S, k_time, D, MASKED, BLOCK_N, WIDTH, EVEN_WIDTH)
        v = _load_tile(v_ptr, start, S, v_time, D, MASKED, BLOCK_N, WIDTH, EVEN_WIDTH)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        p = tl.math.exp2(scores * scale - lse[:, None])
        if MASKED:
            key = start + tl.arange(0, BLOCK_N)
            p = tl.where(_visible(query[:, None], key[None, :], first[:, None], HAS_FIRST), p, 0.0)
        dp = tl.dot(d_out, tl.trans(v), input_precision=PRECISION)
        ds = p * (dp - delta[:, None])
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION)
    return dq


@triton.jit
def _query_gradient(
    q_ptr, k_ptr, v_ptr, d_out_ptr, lse_ptr, delta_ptr, dq_ptr, first_ptr, q_batch, q_head, q_time,
    k_batch, k_head, k_time, v_batch, v_head, v_time, d_batch, d_head, d_time, dq_batch, dq_head, dq_time,
    n_heads, H, group, heads_at_a_time, T, S, D, scale, scale_e,
    HAS_FIRST: tl.constexpr, WIDTH: tl.constexpr, EVEN_WIDTH: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    n_tiles = tl.cdiv(T, BLOCK_M)
    tile, head = _tile_and_head(n_tiles, n_heads, heads_at_a_time)
    row = (n_tiles - 1 - tile) * BLOCK_M
    b = (head // H).to(tl.int64)
    h = (head % H).to(tl.int64)
    k_ptr += b * k_batch + h // group * k_head
    v_ptr += b * v_batch + h // group * v_head
    first_ptr += b * T
    rows = row + tl.arange(0, BLOCK_M)
    query = S - T + rows
    first = query
    if HAS_FIRST:
        first = tl.load(first_ptr + rows, rows < T, other=0)
    q = _load_tile(q_ptr + b * q_batch + h * q_head, row, T, q_time, D, True, BLOCK_M, WIDTH, EVEN_WIDTH)
    d_out = _load_tile(d_out_ptr + b * d_batch + h * d_head, row, T, d_time, D, True, BLOCK_M, WIDTH, EVEN_WIDTH)
    lse = tl.load(lse_ptr + head.to(tl.int64) * T + rows, rows < T, other=float("inf")) * 1.4426950408889634
    delta = tl.load(delta_ptr + head.to(tl.int64) * T + rows, rows < T, other=0.0)

    dq = tl.zeros((BLOCK_M, WIDTH), tl.float32)
    walk = _keys_of_a_query_tile(first_ptr, row, T, S, HAS_FIRST, BLOCK_M, BLOCK_N)
    dq = _gather_query_gradient(dq, q, d_out, lse, delta, query, first, k_ptr, v_ptr, k_time, v_time, S, D, scale, walk,
                                False, HAS_FIRST, WIDTH, EVEN_WIDTH, BLOCK_N, PRECISION)  # fmt: skip
    dq = _gather_query_gradient(dq, q, d_out, lse, delta, query, first, k_ptr, v_ptr, k_time, v_time, S, D, scale, walk,
                                True, HAS_FIRST, WIDTH, EVEN_WIDTH, BLOCK_N, PRECISION)  # fmt: skip
    _store_tile(dq_ptr + b * dq_batch + h * dq_head, dq * scale_e, row, T, dq_time, D, BLOCK_M, WIDTH)


def _architecture(device: torch.device) -> int:
    """10 · compute capability; in the interpreter that of an A100."""
    if device.type != "cuda":
        return 80
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def _precision(tensor: Tensor) -> str:
    """How float32 is multiplied: exactly, unless torch's own switch allows tf32."""
    return "tf32" if tensor.is_cuda and torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"


def _check(q: Tensor) -> None:
    if q.shape[3] > MAX_WIDTH:
        raise UserError(f"causal_attention in Triton takes heads of up to {MAX_WIDTH} values, these have {q.shape[3]}")
    if q.dtype == torch.bfloat16 and not q.is_cuda:
        raise UserError(
            "Triton's interpreter multiplies bfloat16 matrices wrongly (triton#11584); use float16 or float32 there"
        )


def _unit_stride(tensor: Tensor) -> Tensor:
    """Any strides, but the D values of a position side by side, and offsets within a tile (128 rows) below 2^31."""
    side_by_side = tensor.stride(3) == 1 or tensor.shape[3] == 1
    return tensor if side_by_side and tensor.stride(2) < 2**24 else tensor.contiguous()


def _strides(tensor: Tensor) -> tuple[int, int, int]:
    return tensor.stride(0), tensor.stride(1), tensor.stride(2)


def _empty_heads(like: Tensor) -> Tensor:
    """(B, H, T, D) lying as (B, T, H, D)."""
    B, H, T, D = like.shape
    return like.new_empty((B, T, H, D)).transpose(1, 2)


def _first(k: Tensor, T: int, window: int | None, document: Tensor | None) -> Tensor | None:
    """The first key that each query sees, (B, T) int32; None: all of the past."""
    if window is None and document is None:
        return None
    B, _, S, _ = k.shape
    first = torch.empty((B, T), dtype=torch.int32, device=k.device)
    if document is not None:
        document = document.contiguous()
    width = S if window is None else min(window, S)
    _first_visible[(B,)](document, first, T, S, width, HAS_DOCUMENT=document is not None, BLOCK=_SCAN,
                          num_warps=8)  # fmt: skip
    return first


def _heads_at_a_time(k: Tensor, n_heads: int, n_key_heads: int) -> int:
    """Heads whose keys and values take 16 MB: a part of the second-level cache, where more than one group lies."""
    per_key_head = 2 * k.shape[2] * k.shape[3] * k.element_size()
    return max(1, min(n_heads, 16 * 2**20 // per_key_head * (n_heads // n_key_heads)))


def forward(
    q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None = None, document: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As reference.forward."""
    _check(q)
    q, k, v, scale = _with_positive_scale(q, k, v, scale)
    B, H, T, D = q.shape
    S, Hkv = k.shape[2], k.shape[1]
    out = _empty_heads(q)
    lse = q.new_empty((B, H, T), dtype=torch.float32)
    if q.numel() == 0:
        return out, lse
    first = _first(k, T, window, document)
    cut = tiles("forward", _architecture(q.device), D, q.element_size(), T, H // Hkv)
    _forward[(triton.cdiv(T, cut.BLOCK_M) * B * H,)](
        q, k, v, out, lse, lse if first is None else first, *_strides(q), *_strides(k), *_strides(v), *_strides(out),
        B * H, H, H // Hkv, _heads_at_a_time(k, B * H, B * Hkv), T, S, D, scale * _LOG2_E,
        HAS_FIRST=first is not None, WIDTH=padded(D), EVEN_WIDTH=padded(D) == D, BLOCK_M=cut.BLOCK_M,
        BLOCK_N=cut.BLOCK_N, PRECISION=_precision(q), **cut.options,
    )  # fmt: skip
    return out, lse


def _with_positive_scale(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """The largest score is the largest product only where the scale is positive; any other goes into q."""
    if scale <= 0:
        q, scale = q * scale, 1.0
    return _unit_stride(q), _unit_stride(k), _unit_stride(v), scale


def backward(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    window: int | None = None,
    document: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As reference.backward."""
    _check(q)
    into_q = scale if scale <= 0 else 1.0
    q, k, v, scale = _with_positive_scale(q, k, v, scale)
    B, H, T, D = q.shape
    S, Hkv = k.shape[2], k.shape[1]
    dq, dk, dv = _empty_heads(q), _empty_heads(k), _empty_heads(v)
    if q.numel() == 0:
        return dq, dk.zero_(), dv.zero_()
    out, d_out, lse = _unit_stride(out), _unit_stride(d_out), lse.contiguous()
    first = _first(k, T, window, document)
    constants: dict[str, Any] = {"WIDTH": padded(D), "EVEN_WIDTH": padded(D) == D}
    delta = torch.empty_like(lse)
    _delta[(triton.cdiv(T, 64) * B * H,)](
        out, d_out, delta, *_strides(out), *_strides(d_out), H, T, D, ROWS=64, **constants, num_warps=4
    )
    constants |= {"HAS_FIRST": first is not None, "PRECISION": _precision(q)}
    inputs = (q, k, v, d_out, lse, delta)
    strides = (*_strides(q), *_strides(k), *_strides(v), *_strides(d_out))
    cut = tiles("key_gradient", _architecture(q.device), D, q.element_size(), T, H // Hkv)
    _key_gradient[(triton.cdiv(S, cut.BLOCK_N) * B * Hkv,)](
        *inputs, dk, dv, lse if first is None else first, *strides, *_strides(dk),
        B * Hkv, H, H // Hkv, _heads_at_a_time(k, B * Hkv, B * Hkv), T, S, D, scale * _LOG2_E, scale,
        BLOCK_M=cut.BLOCK_M, BLOCK_N=cut.BLOCK_N, SCAN=_SCAN, **constants, **cut.options,
    )  # fmt: skip
    cut = tiles("query_gradient", _architecture(q.device), D, q.element_size(), T, H // Hkv)
    _query_gradient[(triton.cdiv(T, cut.BLOCK_M) * B * H,)](
        *inputs, dq, lse if first is None else first, *strides, *_strides(dq),
        B * H, H, H // Hkv, _heads_at_a_time(k, B * H, B * Hkv), T, S, D, scale * _LOG2_E, scale,
        BLOCK_M=cut.BLOCK_M, BLOCK_N=cut.BLOCK_N, **constants, **cut.options,
    )  # fmt: skip
    return dq if into_q == 1.0 else dq * into_q, dk, dv


def ahead_of_time(architecture: int) -> Iterator[Configuration]:
    """Every row of the table in the dtypes that take it, specialised as a launch with common sizes would be."""

    def strides(*tensors: str) -> dict[str, str]:
        return {f"{tensor}_{axis}": "i32" for tensor in tensors for axis in ("batch", "head", "time")}

    counts = dict.fromkeys(("n_heads", "H", "group", "heads_at_a_time", "T", "S", "D"), "i32")
    figures = {"lse_ptr": "*fp32", "delta_ptr": "*fp32", "first_ptr": "*i32"}
    for dtype, itemsize, width, T, masked, group in (
        ("*bf16", 2, 32, 1024, False, 1),
        ("*bf16", 2, 64, 1024, False, 1),
        ("*fp16", 2, 64, 1024, True, 1),
        ("*bf16", 2, 64, 1024, True, 4),
        ("*bf16", 2, 64, 16, False, 1),
        ("*bf16", 2, 64, 64, False, 1),
        ("*bf16", 2, 96, 1024, True, 4),
        ("*bf16", 2, 128, 1024, False, 1),
        ("*bf16", 2, 128, 1024, True, 4),
        ("*bf16", 2, 256, 1024, True, 1),
        ("*fp32", 4, 64, 1024, True, 4),
        ("*fp32", 4, 128, 1024, True, 4),
        ("*fp32", 4, 256, 1024, False, 1),
    ):
        signature = dict.fromkeys(("q_ptr", "k_ptr", "v_ptr", "d_out_ptr", "out_ptr"), dtype) | figures | counts
        signature |= dict.fromkeys(("dq_ptr", "dk_ptr", "dv_ptr"), dtype) | {"scale": "fp32", "scale_e": "fp32"}
        signature |= strides("q", "k", "v", "d", "out", "dq", "dk")
        constants: dict[str, Any] = {"HAS_FIRST": masked, "WIDTH": padded(width), "EVEN_WIDTH": padded(width) == width}
        constants |= {"PRECISION": "ieee", "SCAN": _SCAN}
        if group == 1:  # a launch makes a constant of every 1
            del signature["group"]
            constants["group"] = 1
        divisible = ("T", "S", "D", *(name for name in signature if name.endswith(("_batch", "_head", "_time"))))
        for name, kernel in (
            ("forward", _forward),
            ("key_gradient", _key_gradient),
            ("query_gradient", _query_gradient),
        ):
            if T < 1024 and name != "forward":
                continue  # the table asks how many queries there are in forward alone
            cut = tiles(name, architecture, width, itemsize, T, group)
            own = constants | {"BLOCK_M": cut.BLOCK_M, "BLOCK_N": cut.BLOCK_N}
            title = f"{name} {dtype[1:]} D={width} T={T} group={group}{' masked' if masked else ''}"
            yield Configuration(title, kernel, signature, own, cut.num_warps, cut.num_stages, divisible, cut.maxnreg)
    signature |= {"document_ptr": "*i64", "window": "i32"}
    constants = {"WIDTH": 64, "EVEN_WIDTH": True, "ROWS": 64, "HAS_DOCUMENT": True, "BLOCK": _SCAN}
    yield Configuration("delta", _delta, signature, constants)
    yield Configuration("first_visible", _first_visible, signature, constants, num_warps=8)
