"""Causal attention as on paper: every score at once, in float32 at least (float64 stays, so gradcheck works).

Slow, obvious, and the twin that every kernel is checked against. It checks no arguments: op.py does.
"""

from __future__ import annotations

import torch
from torch import Tensor


def first_visible(document: Tensor) -> Tensor:
    """The position where each position's document starts: ids (B, S) -> (B, S) int64.

    A document is a run of equal ids, so a position sees one unbroken stretch of keys, whatever the mask.
    """
    B, S = document.shape
    starts = torch.ones_like(document, dtype=torch.bool)
    starts[:, 1:] = document[:, 1:] != document[:, :-1]
    positions = torch.arange(S, device=document.device).expand(B, S)
    return torch.where(starts, positions, 0).cummax(dim=1).values if S else positions


def visible(T: int, S: int, window: int | None, document: Tensor | None, device: torch.device) -> Tensor:
    """True where query t may look at key s: (1 or B, 1, T, S). The queries are the last T of the S positions."""
    key = torch.arange(S, device=device)
    query = torch.arange(S - T, S, device=device)[:, None]
    mask = (key <= query)[None]
    if window is not None:
        mask = mask & (key > query - window)
    if document is not None:
        mask = mask & (key >= first_visible(document)[:, S - T :, None])
    return mask[:, None]


def forward(
    q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None = None, document: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ · scale) v over what is visible -> out (B, H, T, D) in q's dtype, lse (B, H, T).

    lse is the log of the softmax's denominator, natural logarithm, float32 at least: with it the backward
    can rebuild each probability from its score alone.
    """
    q_wide, k_wide, v_wide = _widened(q, k, v)
    with torch.autocast(q.device.type, enabled=False):  # it would multiply in bfloat16
        scores = _scores(q_wide, k_wide, scale, window, document)
        lse = torch.logsumexp(scores, dim=-1)
        out = torch.exp(scores - lse[..., None]) @ v_wide
    # (B, T, H, D) in memory: the caller's reshape to (B, T, H·D) is then free
    out = out.to(q.dtype).transpose(1, 2).contiguous().transpose(1, 2)
    return out, lse


def backward(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    window: int | None = None,
    document: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients dq (B, H, T, D), dk and dv (B, Hkv, S, D) from d_out (B, H, T, D)."""
    q_wide, k_wide, v_wide = _widened(q, k, v)
    d_out_wide = d_out.to(q_wide.dtype)
    delta = (d_out_wide * out.to(q_wide.dtype)).sum(-1, keepdim=True)
    with torch.autocast(q.device.type, enabled=False):
        p = torch.exp(_scores(q_wide, k_wide, scale, window, document) - lse[..., None])
        d_scores = p * (d_out_wide @ v_wide.transpose(-1, -2) - delta) * scale
        dq = d_scores @ k_wide
        dk = d_scores.transpose(-1, -2) @ q_wide
        dv = p.transpose(-1, -2) @ d_out_wide
    return _like(dq, q), _like(_summed_over_group(dk, k), k), _like(_summed_over_group(dv, v), v)


def _widened(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """float32 or float64 copies, with the key and value heads repeated for the query heads that share them."""
    wide = torch.promote_types(q.dtype, torch.float32)
    group = q.shape[1] // k.shape[1] if k.shape[1] else 1
    return q.to(wide), k.to(wide).repeat_interleave(group, 1), v.to(wide).repeat_interleave(group, 1)


def _scores(q: Tensor, k: Tensor, scale: float, window: int | None, document: Tensor | None) -> Tensor:
    mask = visible(q.shape[2], k.shape[2], window, document, q.device)
    return (q @ k.transpose(-1, -2) * scale).masked_fill(~mask, -torch.inf)


def _summed_over_group(gradient: Tensor, like: Tensor) -> Tensor:
    """(B, H, S, D) -> (B, Hkv, S, D): a shared head collects the gradients of the heads that read it."""
    B, H, S, D = gradient.shape
    Hkv = like.shape[1]
    return gradient.reshape(B, Hkv, H // Hkv, S, D).sum(2) if Hkv else gradient


def _like(gradient: Tensor, tensor: Tensor) -> Tensor:
    return gradient.to(tensor.dtype).transpose(1, 2).contiguous().transpose(1, 2)
