"""How many directions a weight matrix uses: its stable and its effective rank, from all its singular values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor

from jarvis_nano.model import Transformer


def spectra(model: Transformer) -> dict[str, float]:
    """`spectrum/stable_rank/<parameter>` and `spectrum/effective_rank/<parameter>` of each matrix of the model.

    Stable rank ‖W‖²_F / ‖W‖²₂ (Rudelson & Vershynin 2007): 1 where one direction has it all, at most the smaller side.
    Effective rank exp H(σ / Σσ) (Roy & Vetterli 2007): counts the small directions too. A matrix of zeros has 0; one
    that is not finite NaN.

    Packed matrices are taken apart: qkv into q, k and v, SwiGLU's up into gate and up. Tied embeddings appear once.
    """
    numbers: dict[str, float] = {}
    for name, values in singular_values(model).items():
        numbers[f"spectrum/stable_rank/{name}"] = stable_rank(values)
        numbers[f"spectrum/effective_rank/{name}"] = effective_rank(values)
    return numbers


def stable_rank(values: Tensor) -> float:
    """‖W‖²_F / ‖W‖²₂ from the singular values (n,)."""
    largest = values.max()
    return 0.0 if largest == 0 else (values / largest).square().sum().item()


def effective_rank(values: Tensor) -> float:
    """exp of the entropy of σ / Σσ, from the singular values (n,)."""
    total = values.sum()
    return 0.0 if total == 0 else torch.special.entr(values / total).sum().exp().item()


@torch.no_grad()
def singular_values(model: Transformer) -> dict[str, Tensor]:
    """The singular values of each matrix by its name, float64, on the host, rising; NaN where it is not finite.

    They are the roots of the eigenvalues of W Wᵀ or Wᵀ W, whichever is smaller. The product squares the ratio of
    largest to smallest, so what is below about 1e-8 · √n of the largest is noise, and in float32 that would be 3e-4:
    hence float64. Far from 0 they are exact to more digits than float32 weights have.
    """
    by_side: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, matrix in matrices(model):
        wide = matrix.double()
        by_side[min(wide.shape)][name] = wide @ wide.T if wide.shape[0] <= wide.shape[1] else wide.T @ wide
    found: dict[str, Tensor] = {}
    for grams in by_side.values():
        stacked = torch.stack(list(grams.values()))  # of one size: a GPU takes them in one call
        finite = stacked.isfinite().all(dim=2).all(dim=1)
        stacked = torch.where(finite[:, None, None], stacked, 0.0)  # eigvalsh refuses them
        eigenvalues = torch.linalg.eigvalsh(stacked).clamp(min=0)  # rounding leaves some just below 0
        roots = torch.where(finite[:, None], eigenvalues.sqrt(), torch.nan).cpu()
        found.update(zip(grams, roots, strict=True))
    return {name: found[name] for name, _ in matrices(model)}


def matrices(model: Transformer) -> Iterator[tuple[str, Tensor]]:
    """The matrices by the name of their parameter, packed ones taken apart: `….q.weight` for `….qkv.weight`'s q."""
    config = model.config
    kv = config.kv_heads * config.d_head
    for name, parameter in model.named_parameters():
        if parameter.dim() != 2:
            continue
        matrix = parameter.detach()
        if name.endswith("attention.qkv.weight"):
            stem = name.removesuffix("qkv.weight")
            for part, piece in zip("qkv", matrix.split((config.d_model, kv, kv)), strict=True):
                yield f"{stem}{part}.weight", piece
        elif name.endswith("mlp.up.weight") and config.mlp == "swiglu":
            stem = name.removesuffix("up.weight")
            for part, piece in zip(("gate", "up"), matrix.chunk(2), strict=True):
                yield f"{stem}{part}.weight", piece
        else:
            yield name, matrix
