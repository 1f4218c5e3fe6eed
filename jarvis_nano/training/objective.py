"""What a training step differentiates: the model with the sum of its loss, in one piece so that it compiles as one."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from jarvis_nano.data.batches import NO_TARGET
from jarvis_nano.model import Transformer


class Objective(nn.Module):
    """The model and what its backward starts from.

    The sum belongs inside: outside a compiled graph it would send back a dense gradient, one value a token, and the
    fused head can use what its forward prepared only where it sees that all tokens have the same.
    """

    def __init__(self, model: Transformer, z_loss: float) -> None:
        super().__init__()
        self.model, self.z_loss = model, z_loss

    def forward(self, ids: Tensor, targets: Tensor, document: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """ids, targets (B, T) -> the loss summed over the counted tokens; sums of loss, entropy, log Z, hits (4)."""
        result = self.model(ids, targets=targets, document=document, z_loss=self.z_loss)
        with torch.no_grad():
            counted = targets.flatten() != NO_TARGET
            values = (result.loss, result.entropy, result.log_z, result.hit)
            sums = torch.stack([(value.float() * counted).sum() for value in values])
        return result.loss.sum(), sums


def compiled(objective: nn.Module) -> nn.Module:
    """The module with forward and backward compiled, as one graph; it shares the module's parameters."""
    # DDP's way of cutting the graph refuses autograd Functions, which our ops are: gradients travel after the backward.
    torch._dynamo.config.optimize_ddp = False
    # dynamic=False: a last, smaller micro-batch gets a graph of its own and does not make the other's sizes unknown.
    return cast(nn.Module, torch.compile(objective, fullgraph=True, dynamic=False))
