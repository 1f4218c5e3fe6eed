"""The activations in Triton: the bias joins on the way in, its gradient on the way back; no atomics.

A program takes a tile of columns. Backward it walks over rows with the bias's gradient in registers, and a second small
kernel adds the programs' sums, always in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ahead_of_time import Configuration

_VALUES = 2048  # a tile: 16 values in each of 128 threads
_COLUMNS = 512
_BACKWARD_PROGRAMS_PER_SM = 8  # with a bias; more would hide more latency, and leave more partial sums


@triton.jit
def _load(x_ptr, bias_ptr, at, columns, mask, in_row, HAS_BIAS: tl.constexpr):
    h = tl.load(x_ptr + at, mask, other=0.0).to(tl.float32)
    if HAS_BIAS:
        h += tl.load(bias_ptr + columns, in_row, other=0.0).to(tl.float32)[None, :]
    return h


@triton.jit
def _normal(h):
    """Φ(h), the share of a normal distribution below h."""
    return 0.5 * (1.0 + tl.erf(h * 0.7071067811865476))


@triton.jit
def _forward(
    x_ptr, bias_ptr, y_ptr, n_rows, width, KIND: tl.constexpr, HAS_BIAS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """y (n_rows, width); x has rows of the same width, or of twice that for swiglu."""
    n_column_tiles = tl.cdiv(width, COLUMNS)
    rows = (tl.program_id(0) // n_column_tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = (tl.program_id(0) % n_column_tiles) * COLUMNS + tl.arange(0, COLUMNS)
    in_row = columns < width
    mask = (rows < n_rows)[:, None] & in_row[None, :]
    if KIND == "swiglu":
        at = rows[:, None] * (2 * width) + columns[None, :]
        gate = _load(x_ptr, bias_ptr, at, columns, mask, in_row, HAS_BIAS)
        value = _load(x_ptr, bias_ptr, at + width, columns + width, mask, in_row, HAS_BIAS)
        y = gate * tl.sigmoid(gate) * value
    else:
        h = _load(x_ptr, bias_ptr, rows[:, None] * width + columns[None, :], columns, mask, in_row, HAS_BIAS)
        if KIND == "gelu":
            y = h * _normal(h)
        else:
            positive = tl.where(h < 0.0, 0.0, h)  # not max: a NaN stays
            y = positive * positive
    tl.store(y_ptr + rows[:, None] * width + columns[None, :], y.to(y_ptr.dtype.element_ty), mask)


@triton.jit
def _backward(
    dy_ptr, x_ptr, bias_ptr, dx_ptr, partial_ptr, n_rows, width, n_programs,
    KIND: tl.constexpr, HAS_BIAS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """A program: a tile of columns, every n_programs-th tile of rows. partial (n_programs, width of x)."""
    n_column_tiles = tl.cdiv(width, COLUMNS)
    program = tl.program_id(0) // n_column_tiles
    columns = (tl.program_id(0) % n_column_tiles) * COLUMNS + tl.arange(0, COLUMNS)
    in_row = columns < width
    dbias = tl.zeros((ROWS, COLUMNS), tl.float32)
    dbias_of_value = tl.zeros((ROWS, COLUMNS), tl.float32)
    for tile in range(program, tl.cdiv(n_rows, ROWS), n_programs):
        rows = tl.cast(tile, tl.int64) * ROWS + tl.arange(0, ROWS)
        mask = (rows < n_rows)[:, None] & in_row[None, :]
        dy = tl.load(dy_ptr + rows[:, None] * width + columns[None, :], mask, other=0.0).to(tl.float32)
        if KIND == "swiglu":
            at = rows[:, None] * (2 * width) + columns[None, :]
            gate = _load(x_ptr, bias_ptr, at, columns, mask, in_row, HAS_BIAS)
            value = _load(x_ptr, bias_ptr, at + width, columns + width, mask, in_row, HAS_BIAS)
            s = tl.sigmoid(gate)
            dh = dy * value * s * (1.0 + gate * (1.0 - s))
            dvalue = dy * gate * s
            tl.store(dx_ptr + at + width, dvalue.to(dx_ptr.dtype.element_ty), mask)
            if HAS_BIAS:
                dbias_of_value += dvalue
        else:
            at = rows[:, None] * width + columns[None, :]
            h = _load(x_ptr, bias_ptr, at, columns, mask, in_row, HAS_BIAS)
            if KIND == "gelu":
                dh = dy * (_normal(h) + h * tl.exp(-0.5 * h * h) * 0.3989422804014327)
            else:
                dh = dy * 2.0 * tl.where(h < 0.0, 0.0, h)
        tl.store(dx_ptr + at, dh.to(dx_ptr.dtype.element_ty), mask)
        if HAS_BIAS:
            dbias += dh
    if HAS_BIAS:
        total = width * 2 if KIND == "swiglu" else width
        to = partial_ptr + program.to(tl.int64) * total + columns
        tl.store(to, tl.sum(dbias, 0), in_row)
        if KIND == "swiglu":
            tl.store(to + width, tl.sum(dbias_of_value, 0), in_row)


@triton.jit
def _add_partials(partial_ptr, dbias_ptr, n_columns, n_programs, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    in_row = columns < n_columns
    dbias = tl.zeros((COLUMNS,), tl.float32)
    for first in range(0, n_programs, ROWS):
        programs = first + tl.arange(0, ROWS)
        mask = (programs < n_programs)[:, None] & in_row[None, :]
        at = programs.to(tl.int64)[:, None] * n_columns + columns[None, :]
        dbias += tl.sum(tl.load(partial_ptr + at, mask, other=0.0), 0)
    tl.store(dbias_ptr + columns, dbias.to(dbias_ptr.dtype.element_ty), in_row)


def tile(width: int) -> tuple[int, int]:
    """ROWS, COLUMNS; 4 warps."""
    columns = min(_COLUMNS, triton.next_power_of_2(max(width, 16)))
    return _VALUES // columns, columns


def forward(x: Tensor, bias: Tensor | None, kind: str) -> Tensor:
    """As reference.forward."""
    x = x.contiguous()
    width = x.shape[-1] // 2 if kind == "swiglu" else x.shape[-1]
    y = x.new_empty((*x.shape[:-1], width))
    if y.numel():
        n_rows = y.numel() // width
        rows, columns = tile(width)
        _forward[(triton.cdiv(n_rows, rows) * triton.cdiv(width, columns),)](
            x, None if bias is None else bias.contiguous(), y, n_rows, width,
            KIND=kind, HAS_BIAS=bias is not None, ROWS=rows, COLUMNS=columns, num_warps=4,
        )  # fmt: skip
    return y


def backward(dy: Tensor, x: Tensor, bias: Tensor | None, kind: str) -> tuple[Tensor, Tensor]:
    """As reference.backward."""
    dy, x = dy.contiguous(), x.contiguous()
    dx = torch.empty_like(x)
    dbias = x.new_empty(0) if bias is None else bias.new_zeros(bias.shape)
    if dy.numel():
        width = dy.shape[-1]
        n_rows = dy.numel() // width
        rows, columns = tile(width)
        n_tiles, n_column_tiles = triton.cdiv(n_rows, rows), triton.cdiv(width, columns)
        n_programs = n_tiles if bias is None else _programs(x.device, n_tiles, n_column_tiles)
        partial = None if bias is None else x.new_empty((n_programs, x.shape[-1]), dtype=torch.float32)
        _backward[(n_programs * n_column_tiles,)](
            dy, x, None if bias is None else bias.contiguous(), dx, partial, n_rows, width, n_programs,
            KIND=kind, HAS_BIAS=bias is not None, ROWS=rows, COLUMNS=columns, num_warps=4,
        )  # fmt: skip
        if bias is not None:
            grid = (triton.cdiv(x.shape[-1], 64),)
            _add_partials[grid](partial, dbias, x.shape[-1], n_programs, ROWS=32, COLUMNS=64, num_warps=4)
    return dx, dbias


def _programs(device: torch.device, n_tiles: int, n_column_tiles: int) -> int:
    sms = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4
    return max(1, min(n_tiles, sms * _BACKWARD_PROGRAMS_PER_SM // n_column_tiles))


def ahead_of_time(architecture: int) -> Iterator[Configuration]:
    """Each kind at a full tile, in both directions; the tile is the same for all architectures."""
    for kind, (dtype, has_bias) in itertools.product(
        ("gelu", "swiglu", "relu_squared"), (("*bf16", True), ("*fp32", False))
    ):
        rows, columns = tile(_COLUMNS)
        constants = {"KIND": kind, "HAS_BIAS": has_bias, "ROWS": rows, "COLUMNS": columns}
        constants |= {} if has_bias else {"bias_ptr": None}
        bias = {"bias_ptr": "*fp32"} if has_bias else {}
        name = f"{kind} {dtype[1:]}{' bias' * has_bias}"
        signature = {"x_ptr": dtype, "y_ptr": dtype, "n_rows": "i32", "width": "i32"} | bias
        yield Configuration(f"forward {name}", _forward, signature, constants, divisible=("width",))
        signature = {"dy_ptr": dtype, "x_ptr": dtype, "dx_ptr": dtype} | dict.fromkeys(
            ("n_rows", "width", "n_programs"), "i32"
        )
        signature |= bias | ({"partial_ptr": "*fp32"} if has_bias else {})
        constants |= {} if has_bias else {"partial_ptr": None}
        yield Configuration(f"backward {name}", _backward, signature, constants, divisible=("width",))
    signature = {"partial_ptr": "*fp32", "dbias_ptr": "*fp32", "n_columns": "i32", "n_programs": "i32"}
    yield Configuration("add_partials", _add_partials, signature, {"ROWS": 32, "COLUMNS": 64})
