"""What a training step differentiates: the model with the sum of its loss, in one piece so that it compiles as one."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from jarvis_nano.data.batches import NO_TARGET
from jarvis_nano.model import Transformer, positions_in_document
from jarvis_nano.observe.categories import N_DECILES

FIGURES = ("loss", "entropy", "log_z", "hits")


def position_buckets(context: int) -> list[int]:
    """Where the buckets of positions begin: 0, 1, 2, 4, 8, … below the context."""
    return [0, *(2**i for i in range((context - 1).bit_length()) if 2**i < context)]


class Objective(nn.Module):
    """The model and what its backward starts from.

    The sum belongs inside: outside a compiled graph it would send back a dense gradient, one value a token, and the
    fused head can use what its forward prepared only where it sees that all tokens have the same.
    """

    decile: Tensor
    bucket: Tensor

    def __init__(self, model: Transformer, z_loss: float, deciles: Tensor | None = None) -> None:
        """deciles (V): each id's decile of frequency, 0 to 9: the loss is also summed by decile and by position."""
        super().__init__()
        self.model, self.z_loss, self.splits = model, z_loss, deciles is not None
        if deciles is None:
            return
        starts = torch.tensor(position_buckets(model.config.context))
        positions = torch.arange(model.config.context)
        self.n_buckets = len(starts)
        self.register_buffer("decile", deciles.long().to(model.head.weight.device), persistent=False)
        self.register_buffer(
            "bucket", torch.searchsorted(starts, positions, right=True).sub(1).to(self.decile.device), persistent=False
        )

    def forward(self, ids: Tensor, targets: Tensor, document: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """ids, targets (B, T) -> the loss summed over the counted tokens; the step's sums (see split_sums)."""
        result = self.model(ids, targets=targets, document=document, z_loss=self.z_loss)
        with torch.no_grad():
            flat = targets.flatten()
            counted = flat != NO_TARGET
            values = (result.loss, result.entropy, result.log_z, result.hit)
            sums = torch.stack([(value.float() * counted).sum() for value in values])
            if self.splits:
                if document is None:
                    place = self.bucket[: ids.shape[1]].repeat(ids.shape[0])
                else:  # a packed row: what counts is how much of its own document a token has seen
                    place = self.bucket[positions_in_document(document).flatten()]
                decile = self.n_buckets + self.decile[flat.clamp(min=0)]
                each = torch.stack((result.loss.float() * counted, counted.float()))  # (2, B·T)
                split = each.new_zeros(2, self.n_buckets + N_DECILES)
                split.index_add_(1, place, each).index_add_(1, decile, each)
                sums = torch.cat((sums, split.flatten()))
        return result.loss.sum(), sums


def split_sums(sums: list[float], n_buckets: int) -> tuple[list[float], list[float]]:
    """The mean loss of each bucket of positions and of each decile (nan where no token fell) from a step's sums.

    The sums are loss, entropy, log Z and hits, then for the buckets and the deciles the loss and the tokens.
    """
    width = n_buckets + N_DECILES
    losses, counts = sums[len(FIGURES) : len(FIGURES) + width], sums[len(FIGURES) + width :]
    means = [loss / count if count else float("nan") for loss, count in zip(losses, counts, strict=True)]
    return means[:n_buckets], means[n_buckets:]


def compiled(objective: nn.Module) -> nn.Module:
    """The module with forward and backward compiled, as one graph; it shares the module's parameters."""
    # DDP's way of cutting the graph refuses autograd Functions, which our ops are: gradients travel after the backward.
    torch._dynamo.config.optimize_ddp = False
    # dynamic=False: a last, smaller micro-batch gets a graph of its own and does not make the other's sizes unknown.
    return cast(nn.Module, torch.compile(objective, fullgraph=True, dynamic=False))
