"""The Transformer's forward written out once more, so that every tensor on the way can be looked at.

Block by block, over the model's own layers and kernels, without hooks and without dropout. What is made of the tensors
stands in probe.py and heads.py. Training never comes through here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.model import MLP, Attention, Block, Transformer, linear, positions_in_document

# Finite, so that a probability of 0 times its logarithm is 0; any real logit is far above it.
HIDDEN = -1e30


@dataclass(frozen=True)
class BlockTrace:
    """What one block computed. B rows, T tokens, C the model's width, W the units of the MLP."""

    q: Tensor
    """(B, H, T, D), as the attention takes it: normalised and turned where the model does that."""
    k: Tensor
    """(B, Hkv, T, D)"""
    v: Tensor
    """(B, Hkv, T, D)"""
    attention_out: Tensor
    """(B, T, C), what the attention adds to the stream."""
    up: Tensor
    """(B, T, W), before the non-linearity; SwiGLU: (B, T, 2 W), the gate, then the value."""
    units: Tensor
    """(B, T, W), after it."""
    mlp_out: Tensor
    """(B, T, C), what the MLP adds to the stream."""
    stream: Tensor
    """(B, T, C), the residual stream after the block."""


def trace(model: Transformer, ids: Tensor, document: Tensor | None = None) -> Iterator[BlockTrace]:
    """The blocks of a forward pass, one after the other; final_norm of the last stream is model.hidden(ids).

    ids (B, T), document (B, T) as in model.hidden. Nothing of the model changes, whether it is in training or not.
    The model must hold its whole parameters (not sharded). UserError where the ids do not fit the model's context.
    """
    if ids.dim() != 2 or not 0 < ids.shape[1] <= model.config.context or not ids.shape[0]:
        raise UserError(f"ids {tuple(ids.shape)}: expected (rows, tokens) with 1 to {model.config.context} tokens")
    positions = torch.arange(ids.shape[1], device=ids.device)
    if document is not None:
        positions = positions_in_document(document)
    stream = model.token_embedding(ids)
    if model.config.positions == "learned":
        stream = stream + model.position_embedding(positions)
    for block in model.blocks:
        assert isinstance(block, Block)
        q, k, v = _heads(block.attention, block.attention_norm(stream), positions)
        attended = kernels.causal_attention(q, k, v, document=document)
        attention_out = linear(attended.transpose(1, 2).reshape(stream.shape), block.attention.out)
        stream = stream + attention_out
        up = linear(block.mlp_norm(stream), block.mlp.up)
        units = _activated(block.mlp, up)
        mlp_out = linear(units, block.mlp.down)
        stream = stream + mlp_out
        yield BlockTrace(q, k, v, attention_out, up, units, mlp_out, stream)


def _heads(attention: Attention, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q (B, H, T, D), k and v (B, Hkv, T, D) of the normed stream x (B, T, C)."""
    B, T, _ = x.shape
    qkv = linear(x, attention.qkv).view(B, T, -1, attention.d_head)  # (B, T, H + 2 Hkv, D)
    qk, v = qkv.split((attention.n_heads + attention.kv_heads, attention.kv_heads), dim=2)
    if attention.qk_scale is not None:
        qk = kernels.rms_norm(qk, attention.qk_scale, eps=attention.eps)
    if attention.rotary is not None:
        qk = attention.rotary(qk, positions)
    q, k = qk.transpose(1, 2).split((attention.n_heads, attention.kv_heads), dim=1)
    return q, k, v.transpose(1, 2)


def _activated(mlp: MLP, up: Tensor) -> Tensor:
    return {"gelu": kernels.gelu, "swiglu": kernels.swiglu, "relu2": kernels.relu_squared}[mlp.kind](up)


def visible_keys(ids: Tensor, document: Tensor | None = None) -> Tensor:
    """True where a query may look at a key: its own position and the past, in its own document.

    ids (B, T), document (B, T) or None -> (1, 1, T, T), with documents (B, 1, T, T).
    """
    position = torch.arange(ids.shape[1], device=ids.device)
    mask = (position <= position[:, None])[None]
    if document is not None:  # a document is a run of equal ids, so it begins `positions_in_document` before a query
        mask = mask & (position >= (position - positions_in_document(document))[:, :, None])
    return mask[:, None]


def attention_logits(q: Tensor, k: Tensor, visible: Tensor) -> Tensor:
    """q kᵀ / √D in float32, HIDDEN where not visible.

    q (R, H, Tq, D), k (R, Hkv, T, D), visible that broadcasts to (R, H, Tq, T) -> (R, H, Tq, T).
    """
    keys = k.float().repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    logits = (q.float() * q.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    return logits.masked_fill_(~visible, HIDDEN)


@contextmanager
def looking_only(device: torch.device) -> Iterator[None]:
    """No gradients, and no autocast: what is measured is float32 arithmetic wherever the weights are float32."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield
