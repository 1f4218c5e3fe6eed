"""What attention heads look at: the previous token, the same token earlier, or what came after it (induction).

Measured on random ids read twice over (Olsson et al. 2022, "In-context Learning and Induction Heads"): nothing but the
repetition can be guessed, so attention that finds it is a mechanism and not knowledge of the language.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.observe.anatomy import attention_logits, looking_only, trace, visible_keys
from jarvis_nano.observe.probe import by_head_tags

PATTERNS = ("previous_token", "duplicate", "induction")


def head_patterns(
    model: Transformer, *, length: int | None = None, n_rows: int = 2, seed: int = 0, first_id: int = 8
) -> dict[str, float]:
    """Attention mass of each head on three patterns, 0 to 1: `heads/<pattern>/LL.HH` and `probe/<pattern>_best`.

    n_rows rows of `length` tokens (None: the context, at most 256; odd: one less): a random half, twice. Averaged over
    the rows and the second half's queries, a query at t with n = length / 2 looks with `previous_token` at t - 1, with
    `duplicate` at t - n, with `induction` at t - n + 1. A head that looks nowhere in particular has about 1.4 / length.

    The ids are drawn from first_id on (the tokenizers made here keep the special tokens below 8) by a generator of
    their own, seeded with `seed`. UserError where the length does not fit the context or the vocabulary has no
    ordinary ids.
    """
    context, vocab_size = model.config.context, model.config.vocab_size
    half = (min(context, 256) if length is None else length) // 2
    if half < 2 or 2 * half > context:
        raise UserError(f"length is {length} with a context of {context}; expected 4 to {context} tokens")
    if n_rows < 1 or not 0 <= first_id < vocab_size:
        raise UserError(
            f"n_rows is {n_rows} (at least 1) and first_id {first_id} (below the vocabulary's {vocab_size})"
        )
    block = random_ids(n_rows, half, low=first_id, high=vocab_size, seed=seed)
    ids = torch.cat((block, block), dim=1).to(model.token_embedding.weight.device)
    with looking_only(ids.device):
        visible = visible_keys(ids)[:, :, half:]  # the second half's queries
        masses = []
        for layer in trace(model, ids):
            p = attention_logits(layer.q[:, :, half:], layer.k, visible).softmax(dim=-1)
            masses.append(pattern_masses(p))
        found = torch.stack(masses, dim=1).cpu()  # (patterns, layers, heads)
    numbers: dict[str, float] = {}
    for name, values in zip(PATTERNS, found, strict=True):
        numbers |= by_head_tags(name, values)
        numbers[f"probe/{name}_best"] = values.max().item()
    return numbers


def pattern_masses(p: Tensor) -> Tensor:
    """p (R, H, n, 2 n): attention of the second half's queries over all keys -> (3, H), in the order of PATTERNS.

    Query i of p stands at n + i, so t - 1, t - n and t - n + 1 are the keys n + i - 1, i and i + 1: diagonals.
    """
    n = p.shape[2]
    diagonals = (p.diagonal(offset=offset, dim1=2, dim2=3)[..., :n] for offset in (n - 1, 0, 1))
    return torch.stack([diagonal.mean(dim=(0, 2)) for diagonal in diagonals])


def random_ids(n_rows: int, length: int, *, low: int, high: int, seed: int) -> Tensor:
    """(n_rows, length) ids of low … high - 1, none twice in a row where there are enough, on the host."""
    generator = torch.Generator().manual_seed(seed)
    if length > high - low:
        return torch.randint(low, high, (n_rows, length), generator=generator)
    return torch.stack([torch.randperm(high - low, generator=generator)[:length] + low for _ in range(n_rows)])
