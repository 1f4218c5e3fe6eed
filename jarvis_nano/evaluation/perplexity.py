"""Loss, perplexity and bits per byte of held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from jarvis_nano.data.batches import Batch
from jarvis_nano.model import Transformer


@dataclass(frozen=True)
class HeldOut:
    """Sums over held-out tokens; divide where you need a mean."""

    nats: float
    tokens: int
    hits: float
    by_id: Tensor | None = None
    """(2, V) float64 on the host: of each id as a target, the nats and how often; None: not asked for."""

    @property
    def loss(self) -> float:
        """Mean nats a token."""
        return self.nats / max(1, self.tokens)

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 100.0))

    @property
    def accuracy(self) -> float:
        """Share of tokens that were the model's first guess."""
        return self.hits / max(1, self.tokens)

    def bits_per_byte(self, n_bytes: int) -> float:
        """Bits a UTF-8 byte of text; independent of the tokenizer."""
        return self.nats / math.log(2) / n_bytes


@torch.inference_mode()
def evaluate(model: Transformer, batches: Iterable[Batch], *, by_id: bool = False) -> HeldOut:
    """Sum the loss over batches, with by_id also apart for each target. Targets of -100 do not count."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    nats, hits, tokens = 0.0, 0.0, 0
    apart = torch.zeros(2, model.config.vocab_size, dtype=torch.float64) if by_id else None
    for batch in batches:
        targets = batch.targets.to(device)
        document = None if batch.document is None else batch.document.to(device)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):  # as in training
            result = model.loss(batch.ids.to(device), targets, document=document)
        counted = targets.flatten() != -100
        nats += result.loss.double().sum().item()
        hits += (result.hit * counted).double().sum().item()
        tokens += int(counted.sum())
        if apart is not None:
            ids = targets.flatten()[counted].cpu()
            each = torch.stack((result.loss[counted].double().cpu(), torch.ones(len(ids), dtype=torch.float64)))
            apart.index_add_(1, ids, each)
    model.train(was_training)
    return HeldOut(nats, tokens, hits, apart)
