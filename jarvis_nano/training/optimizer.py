"""The optimizers: AdamW, and Muon for the matrices of the blocks where it is asked for; clipping for both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jarvis_nano import kernels
from jarvis_nano.config import TrainConfig
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.adamw.op import OP, AdamWNorms
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
    betas = (config.beta1, config.beta2)
    adamw: torch.optim.Optimizer
    if OP.choose(embeddings[0]) == "reference":  # which goes tensor by tensor
        adamw = torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, eps=1e-10, fused=True)
    else:
        adamw = AdamW(groups, lr=config.learning_rate, betas=betas, eps=1e-10)
    if config.optimizer == "adamw":
        return [adamw]
    packed = [module for module in model.modules() if isinstance(module, Attention)]
    heads: dict[Tensor, tuple[int, ...]] = {attention.qkv.weight: _qkv_rows(attention) for attention in packed}
    muon = Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay, row_splits=heads)
    return [muon, adamw]


def _qkv_rows(attention: Attention) -> tuple[int, ...]:
    D = attention.d_head
    return attention.n_heads * D, attention.kv_heads * D, attention.kv_heads * D


class Norms(NamedTuple):
    """2-norms of one step, one a parameter, on the device."""

    parameters: list[Tensor]
    gradient: Tensor
    """Before clipping."""
    update: Tensor
    """Of what was added to the weights, decay included."""
    weight: Tensor
    """After the step."""


def clip_and_step(
    optimizers: Sequence[torch.optim.Optimizer], max_norm: float, *, measure: bool = False
) -> tuple[Tensor, Norms | None]:
    """One step of all from the gradients in .grad, scaled by one factor to a norm of at most `max_norm` (inf: as they
    are); return their norm before and, to measure, the norms apart."""
    parameters = [p for o in optimizers for group in o.param_groups for p in group["params"] if p.grad is not None]
    if len(optimizers) == 1 and isinstance(optimizers[0], AdamW):  # it has them anyway
        found = optimizers[0].step(max_norm=max_norm)
        norms = Norms(parameters, found.gradient, found.update, found.weight) if measure else None
        return found.total_gradient, norms
    if not measure:
        return _clip_and_step(optimizers, parameters, max_norm), None
    with torch.no_grad():
        gradient = torch.stack(torch._foreach_norm([p.grad for p in parameters]))
        before = [p.detach().clone() for p in parameters]
        total = _clip_and_step(optimizers, parameters, max_norm)
        weight = torch.stack(torch._foreach_norm(parameters))
        torch._foreach_sub_(before, parameters)
        return total, Norms(parameters, gradient, torch.stack(torch._foreach_norm(before)), weight)


def _clip_and_step(optimizers: Sequence[torch.optim.Optimizer], parameters: list[Tensor], max_norm: float) -> Tensor:
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    for optimizer in optimizers:
        optimizer.step()
    return norm


class AdamW(torch.optim.Optimizer):
    """AdamW by our kernel: clipping and all groups in one pass over the memory (docs/adamw.md).

    The state is named as in torch.optim.AdamW (step, exp_avg, exp_avg_sq), so either goes on from the other's
    checkpoint. All parameters share one count of steps, also one that had no gradient in some of them.
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.betas, self.eps = betas, eps
        self.norms: AdamWNorms | None = None
        """Of the last step, in the order of the groups' parameters (those that had a gradient)."""

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], Any] | None = None, *, max_norm: float = math.inf
    ) -> AdamWNorms:
        """One step from the gradients in .grad, which are clipped on the way and stay as they are."""
        each = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        params = [p for p, _ in each]
        count = self._count(params)
        count += 1
        states = [self.state[p] for p in params]
        self.norms = kernels.adamw_step(
            params,
            [p.grad for p in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            lr=_one_or_all([group["lr"] for _, group in each]),
            betas=self.betas,
            eps=self.eps,
            weight_decay=_one_or_all([group["weight_decay"] for _, group in each]),
            step=count,
            max_norm=max_norm,
        )
        return self.norms

    def _count(self, params: list[Tensor]) -> Tensor:
        """The steps so far, one tensor in all states: an addition a parameter would take as long as a small step.

        A checkpoint brings it as many equal ones. Parameters that are new to the optimizer get their state here.
        """
        known = [state["step"] for p in params if (state := self.state[p])]
        if not known:
            known = [torch.zeros((), device=params[0].device)]
        if any(step is not known[0] for step in known) and len({int(step) for step in known}) > 1:
            raise UserError("parameters that have taken unlike numbers of steps; all must have taken the same")
        for p in params:
            state = self.state[p]
            if not state:
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            state["step"] = known[0]
        return known[0]


def _one_or_all(values: list[float]) -> float | list[float]:
    return values[0] if len(set(values)) == 1 else values


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
