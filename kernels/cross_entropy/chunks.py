"""Logits of some rows at a time, never all of them: the loop of all chunked backends, and the C++ backend.

torch multiplies (its matrix product is at the machine's peak), a pass over a chunk's logits (csrc/cross_entropy.inc, or
triton_kernel.py) turns them into the losses and, in place, into their gradient. The gradients are made right there,
while the chunk is at hand: dx for a loss gradient of 1 a token, which the backward scales by the true one, and d_weight
for the same loss gradient at every counted token, which is what a mean or a sum sends. Only other reductions compute
the logits again. All products go through _multiply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..linear_layer.op import product
from .reference import check_targets

_LOGITS_IN_A_CHUNK = 2**22  # 16 MB: fewer, larger products are faster until about here
_ROWS = 512


class Chunks(NamedTuple):
    """How a backend goes through the rows."""

    n_rows: int  #: in a chunk
    stride: int  #: from one row of logits to the next, in values
    #: (logits, target, (loss, log_z, entropy, hit), gradient): fills the figures; `gradient`: the logits turn into it
    over_rows: Callable[[Tensor, Tensor, tuple[Tensor, ...], bool], None]
    #: told of every large tensor before it is written
    place: Callable[[Tensor], None] = lambda _: None


def rows_in_a_chunk(vocabulary: int) -> int:
    return max(_ROWS, _LOGITS_IN_A_CHUNK // max(1, vocabulary))


def forward(
    x: Tensor, weight: Tensor, target: Tensor, ignore_index: int, z_loss: float, needs_dx: bool, needs_d_weight: bool
) -> tuple[Tensor, ...]:
    """-> loss, log_z, entropy, hit (N); dx (N, C) and d_weight (V, C) in float32, empty where they are not needed."""
    N, C = x.shape
    counted = _counted(target, ignore_index)
    if counted is not None:
        x, target = x.index_select(0, counted), target.index_select(0, counted)
    check_targets(target, weight.shape[0])
    wide_weight = weight.float()
    chunks = _cpp_chunks(wide_weight, z_loss)
    *figures, dx, d_weight = forward_in_chunks(x, wide_weight, target, chunks, needs_dx, needs_d_weight)
    if counted is not None:
        figures = [figure.new_zeros(N).index_copy_(0, counted, figure) for figure in figures]
        if needs_dx:
            dx = dx.new_zeros(N, C).index_copy_(0, counted, dx)
    return *figures, dx, d_weight


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
    """Gradients of x and weight, in their dtypes, from the gradient d_loss (N) and what forward prepared."""
    dx, d_weight = dx.clone(), d_weight.clone()
    backward_in_place(d_loss, x, weight, target, dx, d_weight, ignore_index, z_loss, needs_dx, needs_d_weight)
    return dx.to(x.dtype), d_weight.to(weight.dtype)


def backward_in_place(
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
) -> None:
    """As backward, but what forward prepared turns into the gradients, in float32: no second d_weight in memory."""
    counted = _counted(target, ignore_index)
    relevant = d_loss if counted is None else d_loss.index_select(0, counted)
    first = relevant[:1] if len(relevant) else d_loss.new_zeros(1)
    if bool((relevant == first).all()):
        if first.item() != 1:
            dx.mul_(first)
            d_weight.mul_(first)
        return
    scales = d_loss if counted is None else torch.zeros_like(d_loss).index_copy_(0, counted, relevant)
    if needs_dx:
        dx.mul_(scales[:, None])
    if needs_d_weight:
        if counted is not None:
            x, target = x.index_select(0, counted), target.index_select(0, counted)
        wide_weight = weight.float()
        d_weight_in_chunks(relevant, x, wide_weight, target, _cpp_chunks(wide_weight, z_loss), into=d_weight)


def _cpp_chunks(weight: Tensor, z_loss: float) -> Chunks:
    def over_rows(logits: Tensor, target: Tensor, figures: tuple[Tensor, ...], gradient: bool) -> None:
        torch.ops.jarvis_nano.cross_entropy_rows_(logits, target, *figures, z_loss, gradient)

    place = torch.ops.jarvis_nano.use_huge_pages_
    return Chunks(rows_in_a_chunk(weight.shape[0]), weight.shape[0], over_rows, place=place)


def _counted(target: Tensor, ignore_index: int) -> Tensor | None:
    """The positions whose target counts; None: all of them do. The others cost no product at all."""
    counts = target != ignore_index
    return None if bool(counts.all()) else counts.nonzero()[:, 0]


def forward_in_chunks(
    x: Tensor, weight: Tensor, target: Tensor, chunks: Chunks, needs_dx: bool, needs_d_weight: bool
) -> tuple[Tensor, ...]:
    """As forward, with the products in weight's dtype and their sums in float32."""
    figures = tuple(x.new_empty(len(x), dtype=torch.float32) for _ in range(4))
    dx = x.new_empty(x.shape if needs_dx else 0, dtype=torch.float32)
    d_weight = weight.new_empty(weight.shape if needs_d_weight else 0, dtype=torch.float32)
    chunks.place(d_weight)
    if not len(x):  # else the first chunk writes it
        d_weight.zero_()
    for rows, some_x, logits in logits_in_chunks(x, weight, chunks):
        some_figures = tuple(figure[rows] for figure in figures)
        chunks.over_rows(logits, target[rows], some_figures, needs_dx or needs_d_weight)
        if needs_dx:
            _multiply(logits, weight, into=dx[rows])
        if needs_d_weight:
            _multiply(logits.t(), some_x, into=d_weight, add=rows.start > 0)
    return *figures, dx, d_weight


def d_weight_in_chunks(
    scales: Tensor, x: Tensor, weight: Tensor, target: Tensor, chunks: Chunks, *, into: Tensor
) -> None:
    """The weight's gradient in float32 when the tokens' loss gradients, `scales`, differ: from the logits again."""
    figures = x.new_empty((4, len(target)), dtype=torch.float32)
    for rows, some_x, logits in logits_in_chunks(x, weight, chunks):
        chunks.over_rows(logits, target[rows], figures[:, rows].unbind(), True)
        scaled = (some_x * scales[rows, None]).to(weight.dtype)
        _multiply(logits.t(), scaled, into=into, add=rows.start > 0)


def logits_in_chunks(x: Tensor, weight: Tensor, chunks: Chunks) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yields (rows, x of these rows in weight's dtype, their logits); the next chunk's logits overwrite them."""
    buffer = weight.new_empty(min(chunks.n_rows, len(x)), chunks.stride)
    chunks.place(buffer)
    for start in range(0, len(x), chunks.n_rows):
        rows = slice(start, min(start + chunks.n_rows, len(x)))
        some_x = x[rows].to(weight.dtype)
        logits = buffer[: len(some_x), : weight.shape[0]]
        _multiply(some_x, weight.t(), into=logits)
        yield rows, some_x, logits


def _multiply(a: Tensor, b: Tensor, *, into: Tensor, add: bool = False) -> None:
    """into = a b, or += a b. On a GPU into float32 from narrow operands, rounded once, by cuBLAS; on a CPU widened."""
    if a.is_cuda and a.dtype != into.dtype:
        if add:
            torch.addmm(into, a, b, out_dtype=into.dtype, out=into)
        else:
            torch.mm(a, b, out_dtype=into.dtype, out=into)
        return
    product(a.to(into.dtype), b.to(into.dtype), into, add=add)
