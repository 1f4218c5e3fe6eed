"""The Transformer, from ids to logits, readable from top to bottom.

A pre-norm decoder: embeddings, then blocks that each add attention and an MLP to a residual stream, a last norm, and
the output head. The switches of ModelConfig choose between what GPT-2, Llama and newer small models do. How it is
trained stands in training/, how it writes text in generation.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jarvis_nano import kernels
from jarvis_nano.config import ModelConfig
from jarvis_nano.errors import UserError

if TYPE_CHECKING:
    from jarvis_nano.kernels.cross_entropy.op import LinearCrossEntropy


class Cache(Protocol):
    """Keys and values of the tokens already read; generation.KVCache is one."""

    length: int

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v (B, Hkv, T, D) of new tokens; return all of the layer's (B, Hkv, length + T, D)."""

    def advance(self, n_tokens: int) -> None:
        """Called once a forward pass, after every layer has appended."""


class Norm(nn.Module):
    """LayerNorm or RMSNorm over the last axis, in float32 inside; adds the residual stream on the way if given."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.kind, self.eps = config.norm, config.norm_eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if config.bias and config.norm == "layernorm" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "rmsnorm":
            return kernels.rms_norm(x, self.weight, eps=self.eps)
        return kernels.layer_norm(x, self.weight, self.bias, eps=self.eps)

    def add(self, branch: Tensor, stream: Tensor) -> tuple[Tensor, Tensor]:
        """norm(stream + branch), and stream + branch: one pass over memory where a kernel is built."""
        if self.kind == "rmsnorm":
            return kernels.rms_norm(branch, self.weight, residual=stream, eps=self.eps)
        return kernels.layer_norm(branch, self.weight, self.bias, residual=stream, eps=self.eps)


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021): each pair (i, i + D/2) of a head turns by position / wavelength_i."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D = config.d_head
        frequency = config.rope_theta ** -(torch.arange(0, D, 2, dtype=torch.float64) / D)
        angle = torch.arange(config.context, dtype=torch.float64)[:, None] * frequency  # (context, D/2)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x (B, T, H, D), positions (T,) or (B, T)."""
        return kernels.apply_rotary(x, self.cos, self.sin, positions)


class Attention(nn.Module):
    """Causal self-attention with grouped heads. One matrix makes q, k and v; the kernel reads them in place."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.n_heads, self.kv_heads, self.d_head = layer, config.n_heads, config.kv_heads, config.d_head
        self.qkv = nn.Linear(config.d_model, (config.n_heads + 2 * config.kv_heads) * config.d_head, bias=config.bias)
        self.out = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.rotary = Rotary(config) if config.positions == "rotary" else None
        self.qk_scale = nn.Parameter(torch.ones(config.d_head)) if config.qk_norm else None
        self.eps = config.norm_eps

    def forward(self, x: Tensor, positions: Tensor, cache: Cache | None, document: Tensor | None) -> Tensor:
        B, T, C = x.shape
        qkv = linear(x, self.qkv).view(B, T, -1, self.d_head)  # (B, T, H + 2 Hkv, D)
        if self.qk_scale is None and self.rotary is None and cache is None:
            y = kernels.causal_attention_packed(qkv, self.n_heads, document=document)
            return linear(y.transpose(1, 2).reshape(B, T, C), self.out)
        qk, v = qkv.split((self.n_heads + self.kv_heads, self.kv_heads), dim=2)
        if self.qk_scale is not None:
            qk = kernels.rms_norm(qk, self.qk_scale, eps=self.eps)
        if self.rotary is not None:
            qk = self.rotary(qk, positions)
        q, k = qk.transpose(1, 2).split((self.n_heads, self.kv_heads), dim=1)  # (B, H, T, D), (B, Hkv, T, D)
        v = v.transpose(1, 2)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        y = kernels.causal_attention(q, k, v, document=document)
        return linear(y.transpose(1, 2).reshape(B, T, C), self.out)


class MLP(nn.Module):
    """Two linear layers and a non-linearity between them, at each position apart."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kind = config.mlp
        width = config.hidden_width
        self.up = nn.Linear(config.d_model, width * (2 if config.mlp == "swiglu" else 1), bias=config.bias)
        self.down = nn.Linear(width, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        plain = type(self.up) is type(self.down) is nn.Linear
        if plain and x.is_cpu and not torch.is_autocast_enabled("cpu"):  # in one piece: half of it is not kept
            return kernels.mlp(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias, kind=self.kind)
        activation = {"gelu": kernels.gelu, "swiglu": kernels.swiglu, "relu2": kernels.relu_squared}[self.kind]
        if plain:  # the activation's one pass adds the bias, and sums up its gradient
            return self.down(activation(F.linear(x, self.up.weight), self.up.bias))
        return self.down(activation(self.up(x)))


class Block(nn.Module):
    """stream + attention(norm(stream)), then + mlp(norm(…)). Each sum is left to the next norm, which fuses it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = Norm(config.d_model, config), Attention(config, layer)
        self.mlp_norm, self.mlp = Norm(config.d_model, config), MLP(config)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(
        self, branch: Tensor | None, stream: Tensor, positions: Tensor, cache: Cache | None, document: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """branch: what the block below still has to add to the stream (None for the first)."""
        if branch is None:
            h = self.attention_norm(stream)
        else:
            h, stream = self.attention_norm.add(branch, stream)
        branch = self.dropout(self.attention(h, positions, cache, document))
        h, stream = self.mlp_norm.add(branch, stream)
        return self.dropout(self.mlp(h)), stream


class Transformer(nn.Module):
    """A language model: ids (B, T) in, logits (B, T, V) of the next token out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context, config.d_model)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.final_norm = Norm(config.d_model, config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.head.weight = self.token_embedding.weight
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        """GPT-2's: normal, 0.02; what writes into the stream is scaled by 1/√(2 layers) so that it keeps its size."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for last in (module.attention.out, module.mlp.down):
                nn.init.normal_(last.weight, std=0.02 / math.sqrt(2 * self.config.n_layers))

    def hidden(self, ids: Tensor, *, cache: Cache | None = None, document: Tensor | None = None) -> Tensor:
        """The stream after the last norm, (B, T, C). ids (B, T); document (B, T) keeps packed documents apart."""
        T = ids.shape[1]
        start = cache.length if cache is not None else 0
        if start + T > self.config.context:
            raise UserError(
                f"{start + T} tokens do not fit the model's context of {self.config.context}; shorten the text"
            )
        positions = torch.arange(start, start + T, device=ids.device)
        if document is not None:
            positions = positions_in_document(document)
        stream = self.token_embedding(ids)
        if self.config.positions == "learned":
            stream = stream + self.position_embedding(positions)
        stream = self.dropout(stream)
        branch: Tensor | None = None
        for block in self.blocks:
            branch, stream = block(branch, stream, positions, cache, document)
        if cache is not None:
            cache.advance(T)
        assert branch is not None
        return self.final_norm.add(branch, stream)[0]

    def forward(
        self,
        ids: Tensor,
        *,
        targets: Tensor | None = None,
        cache: Cache | None = None,
        document: Tensor | None = None,
        z_loss: float = 0.0,
    ) -> Tensor | LinearCrossEntropy:
        """Logits (B, T, V); with targets (B, T) the loss of each token instead (so that DDP sees one forward)."""
        h = self.hidden(ids, cache=cache, document=document)
        if targets is None:
            return linear(h, self.head)
        return kernels.linear_cross_entropy(h.flatten(0, 1), self.head.weight, targets.flatten(), z_loss=z_loss)

    def loss(self, ids: Tensor, targets: Tensor, *, document: Tensor | None = None) -> LinearCrossEntropy:
        """Per-token loss, log Z, entropy and hit, each (B·T,); 0 where the target is -100."""
        return self(ids, targets=targets, document=document)

    @property
    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """layer(x), by our kernel where it runs. What replaces a layer (LoRA's) is called as it is."""
    return kernels.linear(x, layer.weight, layer.bias) if type(layer) is nn.Linear else layer(x)


def positions_in_document(document: Tensor) -> Tensor:
    """(B, T) document ids, each a run of equal numbers -> (B, T) positions that start again at 0 with each run."""
    index = torch.arange(document.shape[1], device=document.device).expand_as(document)
    starts = torch.ones_like(document, dtype=torch.bool)
    starts[:, 1:] = document[:, 1:] != document[:, :-1]
    return index - torch.where(starts, index, 0).cummax(dim=1).values
