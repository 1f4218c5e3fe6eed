"""The optimizers: torch's AdamW, and Muon for the matrices of the blocks where it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jarvis_nano.config import TrainConfig
from jarvis_nano.model import Attention, Transformer


def build(model: Transformer, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW over everything, or Muon over the blocks' matrices and AdamW over the rest.

    Each group carries "peak_lr"; the loop sets lr = peak_lr · schedule. Only matrices decay (as in GPT-3).
    """
    matrices: list[Tensor] = []
    embeddings: list[Tensor] = []
    vectors: list[Tensor] = []
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            vectors.append(parameter)
        elif name.startswith("blocks."):
            matrices.append(parameter)
        else:
            embeddings.append(parameter)
    groups = [
        {"params": embeddings, "weight_decay": config.weight_decay, "peak_lr": config.learning_rate},
        {"params": vectors, "weight_decay": 0.0, "peak_lr": config.learning_rate},
    ]
    if config.optimizer == "adamw":
        groups[0]["params"] = embeddings + matrices
    adamw = torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=1e-10, fused=True
    )
    if config.optimizer == "adamw":
        return [adamw]
    packed = [module for module in model.modules() if isinstance(module, Attention)]
    heads: dict[Tensor, tuple[int, ...]] = {attention.qkv.weight: _qkv_rows(attention) for attention in packed}
    muon = Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay, row_splits=heads)
    return [muon, adamw]


def _qkv_rows(attention: Attention) -> tuple[int, ...]:
    D = attention.d_head
    return attention.n_heads * D, attention.kv_heads * D, attention.kv_heads * D


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are orthogonalised before the step (Jordan 2024, kellerjordan.github.io/posts/muon).

    The update of a matrix with R rows and C columns is scaled by √max(1, R/C), and weights decay by lr · weight_decay.
    `row_splits` names packed matrices (q, k, v) whose parts are orthogonalised apart. torch.optim.Muon is not used: it
    multiplies in bfloat16, which most CPUs only emulate, and knows no packed matrices.
    """

    def __init__(
        self,
        params: list[Tensor],
        *,
        lr: float,
        weight_decay: float,
        row_splits: dict[Tensor, tuple[int, ...]],
        momentum: float = 0.95,
        iterations: int = 5,
    ) -> None:
        super().__init__([{"params": params, "peak_lr": lr}], {"lr": lr, "weight_decay": weight_decay})
        self.row_splits, self.momentum, self.iterations = row_splits, momentum, iterations

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step from the gradients in .grad."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].lerp_(parameter.grad, 1 - self.momentum)
                nesterov = parameter.grad.lerp(momentum, self.momentum)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                rows = self.row_splits.get(parameter, (parameter.shape[0],))
                for part, update in zip(parameter.split(rows), nesterov.split(rows), strict=True):
                    scale = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                    part.add_(orthogonalise(update, self.iterations), alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor, iterations: int = 5) -> Tensor:
    """About U Vᵀ of the matrix's singular value decomposition, by a quintic Newton–Schulz iteration.

    Jordan's coefficients: singular values land in about [0.7, 1.2] after 5 rounds. In bfloat16 on CUDA, else float32.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16() if matrix.is_cuda else matrix
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)  # a·x + (b·gram + c·gram²) x
    return (x.T if tall else x).to(matrix.dtype)
