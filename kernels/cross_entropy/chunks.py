"""The C++ backend of linear cross-entropy: logits of a few hundred rows at a time, never all of them.

torch multiplies (its matrix product is at the machine's peak), csrc/cross_entropy.inc turns a chunk's logits into the
losses and, in place, into their gradient. The gradients are made right there, while the chunk's logits are in the
cache: dx for a loss gradient of 1 a token, which the backward scales by the true one, and d_weight for the same loss
gradient at every counted token, which is what a mean or a sum sends. Only other reductions compute the logits again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .reference import check_targets

_LOGITS_IN_A_CHUNK = 2**22  # 16 MB: fewer, larger products are faster until about here
_ROWS = 512


def rows_in_a_chunk(vocabulary: int) -> int:
    return max(_ROWS, _LOGITS_IN_A_CHUNK // max(1, vocabulary))


def forward(
    x: Tensor, weight: Tensor, target: Tensor, ignore_index: int, z_loss: float, needs_dx: bool, needs_d_weight: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """-> loss, log_z, entropy, hit (N); dx (N, C) and d_weight (V, C) in float32, empty where they are not needed."""
    N, C = x.shape
    counted = _counted(target, ignore_index)
    if counted is not None:
        x, target = x.index_select(0, counted), target.index_select(0, counted)
    check_targets(target, weight.shape[0])
    wide_weight = weight.float()
    figures = [x.new_empty(len(target), dtype=torch.float32) for _ in range(4)]
    dx = x.new_empty((len(target), C) if needs_dx else 0, dtype=torch.float32)
    d_weight = wide_weight.new_zeros(weight.shape if needs_d_weight else 0)
    for rows, wide_x, logits in logits_in_chunks(x, wide_weight):
        torch.ops.jarvis_nano.cross_entropy_rows_(
            logits, target[rows], *(figure[rows] for figure in figures), z_loss, needs_dx or needs_d_weight
        )
        if needs_dx:
            torch.mm(logits, wide_weight, out=dx[rows])
        if needs_d_weight:
            d_weight.addmm_(logits.t(), wide_x)
    if counted is not None:
        figures = [figure.new_zeros(N).index_copy_(0, counted, figure) for figure in figures]
        if needs_dx:
            dx = dx.new_zeros(N, C).index_copy_(0, counted, dx)
    loss, log_z, entropy, hit = figures
    return loss, log_z, entropy, hit, dx, d_weight


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
    counted = _counted(target, ignore_index)
    relevant = d_loss if counted is None else d_loss.index_select(0, counted)
    first = relevant[:1] if len(relevant) else d_loss.new_zeros(1)
    if bool((relevant == first).all()):
        return (dx * first).to(x.dtype), (d_weight * first).to(weight.dtype)
    scales = d_loss if counted is None else torch.zeros_like(d_loss).index_copy_(0, counted, relevant)
    if needs_dx:
        dx = dx * scales[:, None]
    if needs_d_weight:
        if counted is not None:
            x, target = x.index_select(0, counted), target.index_select(0, counted)
        d_weight = _d_weight(relevant, x, weight.float(), target, z_loss)
    return dx.to(x.dtype, copy=not needs_dx), d_weight.to(weight.dtype, copy=not needs_d_weight)


def _d_weight(d_loss: Tensor, x: Tensor, weight: Tensor, target: Tensor, z_loss: float) -> Tensor:
    """The weight's gradient when the tokens' loss gradients differ: from the logits again."""
    figures = x.new_empty((4, len(target)), dtype=torch.float32)
    d_weight = torch.zeros_like(weight)
    for rows, wide_x, logits in logits_in_chunks(x, weight):
        torch.ops.jarvis_nano.cross_entropy_rows_(logits, target[rows], *figures[:, rows], z_loss, True)
        d_weight.addmm_(logits.t(), wide_x * d_loss[rows, None])
    return d_weight


def _counted(target: Tensor, ignore_index: int) -> Tensor | None:
    """The positions whose target counts; None: all of them do. The others cost no product at all."""
    counts = target != ignore_index
    return None if bool(counts.all()) else counts.nonzero()[:, 0]


def logits_in_chunks(x: Tensor, weight: Tensor):
    """Yields (rows, x of these rows in float32, their logits); the next chunk's logits overwrite them."""
    n_rows = rows_in_a_chunk(weight.shape[0])
    buffer = weight.new_empty(min(n_rows, len(x)), weight.shape[0])
    for start in range(0, len(x), n_rows):
        rows = slice(start, min(start + n_rows, len(x)))
        wide_x = x[rows].float()
        logits = buffer[: len(wide_x)]
        torch.mm(wide_x, weight.t(), out=logits)
        yield rows, wide_x, logits
