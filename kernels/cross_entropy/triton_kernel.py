"""Linear cross-entropy on a GPU: cuBLAS multiplies a chunk, a Triton program a row does the rest in two reads.

The first read keeps a running maximum, Σ e^(l - m) and Σ e^(l - m) (l - m) in every lane, and notes whether a logit
beats the target's; the second, from the second-level cache, writes the gradient over them. Nothing waits for the GPU.

Rows of logits lie `row_stride` apart, a multiple of _ALIGNMENT, and are read and written up to there: a mask at V would
cut the 16-byte accesses into single values. What lies past V turns into 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ahead_of_time import Configuration
from .chunks import Chunks, d_weight_in_chunks, forward_in_chunks

_BYTES_IN_A_CHUNK = 2**29  # of logits: about 5,000 rows at V = 50,000 in bfloat16
_ROWS = 128  # a chunk is a multiple of this, the height of cuBLAS's usual tile
_ALIGNMENT = 64  # values


@triton.jit
def _cross_entropy_rows(
    logits_ptr, target_ptr, loss_ptr, log_z_ptr, entropy_ptr, hit_ptr, n_columns, row_stride, ignore_index, z_loss,
    GRADIENT: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row)
    logits_ptr += row * row_stride
    if target == ignore_index:
        tl.store(loss_ptr + row, 0.0)
        tl.store(log_z_ptr + row, 0.0)
        tl.store(entropy_ptr + row, 0.0)
        tl.store(hit_ptr + row, 0.0)
        if GRADIENT:
            nothing = tl.zeros((COLUMNS,), logits_ptr.dtype.element_ty)
            for start in range(0, n_columns, COLUMNS):
                columns = start + tl.arange(0, COLUMNS)
                tl.store(logits_ptr + columns, nothing, columns < row_stride)
    else:
        is_an_id = (target >= 0) & (target < n_columns)
        target = tl.where(is_an_id, target, 0)
        # A wrong target cannot raise here without making the CPU wait: it makes the loss and the gradients NaN.
        chosen = tl.where(is_an_id, tl.load(logits_ptr + target).to(tl.float32), float("nan"))
        top = tl.full((COLUMNS,), -1e38, tl.float32)  # not -inf, whose differences are no numbers
        power = tl.zeros((COLUMNS,), tl.float32)  # Σ e^(l - top) of this lane
        weighted = tl.zeros((COLUMNS,), tl.float32)  # Σ e^(l - top) (l - top)
        beaten = tl.zeros((COLUMNS,), tl.int32)
        for start in range(0, n_columns, COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            value = tl.load(logits_ptr + columns, columns < row_stride, other=0.0).to(tl.float32)
            value = tl.where(columns < n_columns, value, -float("inf"))
            step = value - top
            step = tl.where(step < -1e4, -1e4, step)  # e^step is 0 either way, but 0 · inf would be no number
            rises = step > 0
            shrink = tl.exp(-tl.abs(step))  # one exponential serves both: a new maximum, or a new term
            weighted = tl.where(rises, shrink * (weighted - step * power), weighted + shrink * step)
            power = tl.where(rises, power * shrink + 1.0, power + shrink)
            top = tl.where(rises, value, top)
            beaten |= ((value > chosen) | ((value == chosen) & (columns < target))).to(tl.int32)
        highest = tl.max(top, 0)
        fall = top - highest
        scale = tl.exp(fall)
        weighted_sum = tl.sum(scale * (weighted + fall * power), 0)
        power_sum = tl.sum(scale * power, 0)
        log_sum = tl.log(power_sum)
        log_z = highest + log_sum
        tl.store(loss_ptr + row, (highest - chosen) + log_sum + z_loss * log_z * log_z)
        tl.store(log_z_ptr + row, log_z)
        tl.store(entropy_ptr + row, log_sum - weighted_sum / power_sum)
        tl.store(hit_ptr + row, ((chosen == highest) & (tl.max(beaten, 0) == 0)).to(tl.float32))
        if GRADIENT:
            factor = tl.where(is_an_id, (1.0 + 2.0 * z_loss * log_z) / power_sum, float("nan"))
            for start in range(0, n_columns, COLUMNS):
                columns = start + tl.arange(0, COLUMNS)
                mask = columns < row_stride
                value = tl.load(logits_ptr + columns, mask, other=0.0).to(tl.float32)
                value = tl.where(columns < n_columns, value, -float("inf"))
                gradient = tl.exp(value - highest) * factor
                gradient = tl.where(columns == target, gradient - 1.0, gradient)
                tl.store(logits_ptr + columns, gradient.to(logits_ptr.dtype.element_ty), mask)


def tile(vocabulary: int) -> tuple[int, int]:
    """COLUMNS and warps: 16 bytes of bfloat16 a thread; few large programs, so that their rows stay in the cache."""
    return (4096, 16) if vocabulary > 2048 else (512, 2)


def chunks_for(x: Tensor, vocabulary: int, ignore_index: int, z_loss: float) -> Chunks:
    """Chunks of equal height (within _ROWS) and at most _BYTES_IN_A_CHUNK of logits, but at least _ROWS rows."""
    stride = triton.cdiv(vocabulary, _ALIGNMENT) * _ALIGNMENT
    most = max(_ROWS, _BYTES_IN_A_CHUNK // (stride * x.element_size()) // _ROWS * _ROWS)
    n_chunks = max(1, triton.cdiv(len(x), most))
    n_rows = max(1, triton.cdiv(triton.cdiv(len(x), n_chunks), _ROWS)) * _ROWS
    columns, warps = tile(vocabulary)

    def over_rows(logits: Tensor, target: Tensor, figures: tuple[Tensor, ...], gradient: bool) -> None:
        _cross_entropy_rows[(len(logits),)](
            logits, target, *figures, vocabulary, stride, ignore_index, z_loss,
            GRADIENT=gradient, COLUMNS=columns, num_warps=warps,
        )  # fmt: skip

    return Chunks(n_rows, stride, over_rows)


def forward(
    x: Tensor, weight: Tensor, target: Tensor, ignore_index: int, z_loss: float, needs_dx: bool, needs_d_weight: bool
) -> tuple[Tensor, ...]:
    """As chunks.forward, with the products in x's dtype; ignored rows are multiplied too, as zeros."""
    chunks = chunks_for(x, weight.shape[0], ignore_index, z_loss)
    return forward_in_chunks(x, weight.to(x.dtype), target.contiguous(), chunks, needs_dx, needs_d_weight)


def backward(
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
    """As chunks.backward. That all tokens have one loss gradient is seen from d_loss's stride, not from its values."""
    scales = torch.where(target != ignore_index, d_loss, 0.0)
    if needs_dx:
        dx = dx * scales[:, None]
    if needs_d_weight:
        if len(d_loss) < 2 or d_loss.stride(0) == 0:
            first = d_loss[:1] if len(d_loss) else d_loss.new_zeros(1)
            d_weight = d_weight * torch.where((target != ignore_index).any(), first, 0.0)
        else:
            # Relative to the largest, so that a float16 of x times its scale keeps its digits.
            largest = scales.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
            chunks = chunks_for(x, weight.shape[0], ignore_index, z_loss)
            target = target.contiguous()
            d_weight = torch.empty_like(d_weight)
            d_weight_in_chunks(scales / largest, x, weight.to(x.dtype), target, chunks, into=d_weight)
            d_weight.mul_(largest)
    return dx.to(x.dtype, copy=not needs_dx), d_weight.to(weight.dtype, copy=not needs_d_weight)


def ahead_of_time(architecture: int) -> Iterator[Configuration]:
    """Both tiles in every dtype, with and without a gradient; the same for all architectures."""
    figures = dict.fromkeys(("loss_ptr", "log_z_ptr", "entropy_ptr", "hit_ptr"), "*fp32")
    sizes = {"n_columns": "i32", "row_stride": "i32", "ignore_index": "i32", "z_loss": "fp32"}
    for dtype, vocabulary, gradient in itertools.product(("*bf16", "*fp16", "*fp32"), (2048, 50257), (False, True)):
        columns, warps = tile(vocabulary)
        yield Configuration(
            f"rows {dtype[1:]} {columns}{' with gradient' * gradient}",
            _cross_entropy_rows,
            {"logits_ptr": dtype, "target_ptr": "*i64", **figures, **sizes},
            {"GRADIENT": gradient, "COLUMNS": columns},
            warps,
            divisible=("row_stride",),
        )
