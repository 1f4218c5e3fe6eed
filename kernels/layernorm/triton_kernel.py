"""LayerNorm and RMSNorm in Triton: one read of every input, statistics in registers, no atomics (bit-equal repeats).

A program holds whole rows. Backward, a fixed number of programs walks over the rows, each with its own partial sums of
dweight and dbias in registers; a second small kernel adds these up, always in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from jarvis_nano.errors import UserError

from ..ahead_of_time import Configuration

MAX_COLUMNS = 4096  # a row lies in the registers of one program; at 8192 the backward kernel spills
_BACKWARD_PROGRAMS_PER_SM = 2


@triton.jit
def _forward(
    x_ptr, residual_ptr, weight_ptr, bias_ptr, y_ptr, total_ptr, stats_ptr, n_rows, n_columns, eps,
    RMS: tl.constexpr, HAS_RESIDUAL: tl.constexpr, HAS_BIAS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, COLUMNS)
    in_row = columns < n_columns
    here = rows < n_rows
    mask = here[:, None] & in_row[None, :]
    at = rows[:, None] * n_columns + columns[None, :]

    t = tl.load(x_ptr + at, mask, other=0.0).to(tl.float32)
    if HAS_RESIDUAL:
        t += tl.load(residual_ptr + at, mask, other=0.0).to(tl.float32)
        total = t.to(total_ptr.dtype.element_ty)
        tl.store(total_ptr + at, total, mask)
        t = total.to(tl.float32)  # backward sees the rounded sum, so forward does too
    if RMS:
        centred = t
    else:
        mean = tl.sum(t, 1) / n_columns
        tl.store(stats_ptr + rows, mean, here)
        centred = tl.where(mask, t - mean[:, None], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / n_columns + eps)
    tl.store(stats_ptr + rows + (0 if RMS else n_rows), rstd, here)

    y = centred * rstd[:, None] * tl.load(weight_ptr + columns, in_row, other=0.0).to(tl.float32)[None, :]
    if HAS_BIAS:
        y += tl.load(bias_ptr + columns, in_row, other=0.0).to(tl.float32)[None, :]
    tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask)


@triton.jit
def _backward(
    dy_ptr, dtotal_ptr, total_ptr, weight_ptr, stats_ptr, dx_ptr, partial_ptr, n_rows, n_columns, n_programs,
    RMS: tl.constexpr, HAS_DTOTAL: tl.constexpr, HAS_BIAS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    columns = tl.arange(0, COLUMNS)
    in_row = columns < n_columns
    weight = tl.load(weight_ptr + columns, in_row, other=0.0).to(tl.float32)[None, :]
    dweight = tl.zeros((COLUMNS,), tl.float32)
    dbias = tl.zeros((COLUMNS,), tl.float32)
    program = tl.program_id(0)
    for tile in range(program, tl.cdiv(n_rows, ROWS), n_programs):
        rows = tl.cast(tile, tl.int64) * ROWS + tl.arange(0, ROWS)
        here = rows < n_rows
        mask = here[:, None] & in_row[None, :]
        at = rows[:, None] * n_columns + columns[None, :]
        dy = tl.load(dy_ptr + at, mask, other=0.0).to(tl.float32)
        t = tl.load(total_ptr + at, mask, other=0.0).to(tl.float32)
        rstd = tl.load(stats_ptr + rows + (0 if RMS else n_rows), here, other=0.0)[:, None]
        if RMS:
            n = t * rstd
        else:
            n = tl.where(mask, (t - tl.load(stats_ptr + rows, here, other=0.0)[:, None]) * rstd, 0.0)
        g = dy * weight
        dx = g - n * (tl.sum(g * n, 1) / n_columns)[:, None]
        if not RMS:
            dx -= (tl.sum(g, 1) / n_columns)[:, None]
        dx *= rstd
        if HAS_DTOTAL:
            dx += tl.load(dtotal_ptr + at, mask, other=0.0).to(tl.float32)
        tl.store(dx_ptr + at, dx.to(dx_ptr.dtype.element_ty), mask)
        dweight += tl.sum(dy * n, 0)
        if HAS_BIAS:
            dbias += tl.sum(dy, 0)
    tl.store(partial_ptr + program.to(tl.int64) * n_columns + columns, dweight, in_row)
    if HAS_BIAS:
        tl.store(partial_ptr + (n_programs + program).to(tl.int64) * n_columns + columns, dbias, in_row)


@triton.jit
def _add_partials(partial_ptr, dweight_ptr, dbias_ptr, n_columns, n_programs, HAS_BIAS: tl.constexpr,
                  ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # fmt: skip
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    in_row = columns < n_columns
    dweight = tl.zeros((COLUMNS,), tl.float32)
    dbias = tl.zeros((COLUMNS,), tl.float32)
    for first in range(0, n_programs, ROWS):
        programs = first + tl.arange(0, ROWS)
        mask = (programs < n_programs)[:, None] & in_row[None, :]
        at = programs.to(tl.int64)[:, None] * n_columns + columns[None, :]
        dweight += tl.sum(tl.load(partial_ptr + at, mask, other=0.0), 0)
        if HAS_BIAS:
            offset = tl.cast(n_programs, tl.int64) * n_columns
            dbias += tl.sum(tl.load(partial_ptr + offset + at, mask, other=0.0), 0)
    tl.store(dweight_ptr + columns, dweight.to(dweight_ptr.dtype.element_ty), in_row)
    if HAS_BIAS:
        tl.store(dbias_ptr + columns, dbias.to(dbias_ptr.dtype.element_ty), in_row)


def tile(n_columns: int, backward: bool = False) -> tuple[int, int, int]:
    """ROWS, COLUMNS, warps: short rows share a program. Tested for spills at every width (tests/kernels)."""
    columns = triton.next_power_of_2(max(n_columns, 16))
    rows = max(1, 2048 // columns)
    values = rows * columns * (2 if backward else 1)  # backward holds dweight and dbias besides the row
    return rows, columns, min(16, max(4, values // 1024))


def _rows(x: Tensor) -> tuple[int, int]:
    columns = x.shape[-1]
    if columns > MAX_COLUMNS:
        raise UserError(f"layer_norm in Triton takes rows of up to {MAX_COLUMNS} values, these have {columns}")
    return x.numel() // max(1, columns), columns


def _programs(device: torch.device, n_tiles: int) -> int:
    sms = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4
    return max(1, min(n_tiles, sms * _BACKWARD_PROGRAMS_PER_SM))


def forward(
    x: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor | None, eps: float, rms: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As reference.forward."""
    n_rows, n_columns = _rows(x)
    x = x.contiguous()
    residual = None if residual is None else residual.contiguous()
    y = torch.empty_like(x)
    total = x.new_empty(0) if residual is None else torch.empty_like(x)
    stats = x.new_empty((1 if rms else 2, n_rows), dtype=torch.float32)
    if x.numel():
        rows, columns, warps = tile(n_columns)
        _forward[(triton.cdiv(n_rows, rows),)](
            x, residual, weight.contiguous(), None if bias is None else bias.contiguous(), y, total, stats,
            n_rows, n_columns, eps, RMS=rms, HAS_RESIDUAL=residual is not None, HAS_BIAS=bias is not None,
            ROWS=rows, COLUMNS=columns, num_warps=warps,
        )  # fmt: skip
    return y, total, stats


def backward(
    dy: Tensor, dtotal: Tensor | None, total: Tensor, weight: Tensor, stats: Tensor, rms: bool, has_bias: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As reference.backward."""
    n_rows, n_columns = _rows(total)
    total, dy = total.contiguous(), dy.contiguous()
    dtotal = None if dtotal is None else dtotal.contiguous()
    dx = torch.empty_like(total)
    dweight = weight.new_zeros(n_columns)
    dbias = weight.new_zeros(n_columns if has_bias else 0)
    if total.numel():
        rows, columns, warps = tile(n_columns, backward=True)
        n_programs = _programs(total.device, triton.cdiv(n_rows, rows))
        partial = total.new_empty((2 if has_bias else 1, n_programs, n_columns), dtype=torch.float32)
        _backward[(n_programs,)](
            dy, dtotal, total, weight.contiguous(), stats, dx, partial, n_rows, n_columns, n_programs,
            RMS=rms, HAS_DTOTAL=dtotal is not None, HAS_BIAS=has_bias, ROWS=rows, COLUMNS=columns, num_warps=warps,
        )  # fmt: skip
        _add_partials[(triton.cdiv(n_columns, 64),)](
            partial, dweight, dbias, n_columns, n_programs, HAS_BIAS=has_bias, ROWS=32, COLUMNS=64, num_warps=4
        )
    return dx, dweight, dbias


def ahead_of_time(architecture: int) -> Iterator[Configuration]:
    """The narrow rows of QK-norm, usual rows and the longest in both dtypes; one table for all architectures."""
    cases = (("*bf16", 64, True), ("*bf16", 768, False), ("*bf16", MAX_COLUMNS, False))
    for dtype, n_columns, rms in (*cases, ("*fp32", MAX_COLUMNS, False), ("*fp32", MAX_COLUMNS, True)):
        name = f"{'rms' if rms else 'layer'} {dtype[1:]} {n_columns}"
        rows, columns, warps = tile(n_columns)
        shape = {"RMS": rms, "ROWS": rows, "COLUMNS": columns}
        data = {"x_ptr": dtype, "residual_ptr": dtype, "weight_ptr": "*fp32", "bias_ptr": "*fp32", "y_ptr": dtype}
        sizes = {"total_ptr": dtype, "stats_ptr": "*fp32", "n_rows": "i32", "n_columns": "i32", "eps": "fp32"}
        constants = shape | {"HAS_RESIDUAL": True, "HAS_BIAS": not rms}
        yield Configuration(f"forward {name}", _forward, data | sizes, constants, warps)
        rows, columns, warps = tile(n_columns, backward=True)
        shape = {"RMS": rms, "ROWS": rows, "COLUMNS": columns}
        data = {"dy_ptr": dtype, "dtotal_ptr": dtype, "total_ptr": dtype, "weight_ptr": "*fp32", "stats_ptr": "*fp32"}
        sizes = {"dx_ptr": dtype, "partial_ptr": "*fp32", "n_rows": "i32", "n_columns": "i32", "n_programs": "i32"}
        constants = shape | {"HAS_DTOTAL": True, "HAS_BIAS": not rms}
        yield Configuration(f"backward {name}", _backward, data | sizes, constants, warps)
    pointers = {"partial_ptr": "*fp32", "dweight_ptr": "*fp32", "dbias_ptr": "*fp32"}
    constants = {"HAS_BIAS": True, "ROWS": 32, "COLUMNS": 64}
    yield Configuration("add_partials", _add_partials, pointers | {"n_columns": "i32", "n_programs": "i32"}, constants)
