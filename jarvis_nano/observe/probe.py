"""One look inside a model: the stream, the heads, the MLP's units and the logit lens, on a few rows of text.

A pure function of the model and the ids: a forward pass of its own (anatomy.py) whose figures are explicit results. The
model, its training flag, its gradients and the global random state stay as they are. Formulas, costs and what the
figures mean: docs/probes.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jarvis_nano.data.batches import NO_TARGET
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer, linear
from jarvis_nano.observe.anatomy import BlockTrace, attention_logits, looking_only, trace, visible_keys

# A unit that lets through no more than this share of what comes in, on every token, is dead.
DEAD_SHARE = 1e-3
# The entropy of a query that sees few keys is small whatever the head does: such queries do not count.
FEWEST_KEYS = 16

_LAYER_FIGURES = (
    "residual_rms",
    "residual_max",
    "kurtosis",
    "attention_out_rms",
    "mlp_out_rms",
    "activation_rms",
    "activation_max",
    "dead_neurons",
    "lens_loss",
    "lens_agrees",
)
_HEAD_FIGURES = ("attention_entropy", "max_logit")


@dataclass(frozen=True)
class Probe:
    """What one look found."""

    numbers: dict[str, float]
    """By tag: `layers/<figure>/LL`, `heads/<figure>/LL.HH`, `probe/<summary>`."""
    layers: dict[str, Tensor]
    """The same by figure: (layers,), on the host."""
    heads: dict[str, Tensor]
    """The same by figure: (layers, heads), on the host."""
    attention: Tensor
    """Attention of the first row, (layers, heads, T', T') with T' = min(T, map_tokens), float32, on the model's
    device; row t sums to 1 over the keys 0 … t."""
    hidden: Tensor
    """(B, T, C), the stream after the last norm, on the model's device: model.hidden(ids) in eval mode."""


def probe(
    model: Transformer,
    ids: Tensor,
    document: Tensor | None = None,
    *,
    targets: Tensor | None = None,
    attention_rows: int = 2,
    map_tokens: int = 256,
    lens_positions: int = 128,
) -> Probe:
    """Look inside `model` while it reads ids (B, T), on the model's device; document (B, T) keeps documents apart.

    targets (B, T), -100 where there is none: what the lens' loss is measured against; by default the row's own next
    ids within the document. Attention is looked at on the first attention_rows rows, the lens at lens_positions of the
    B·T positions, evenly spread. One copy from the device to the host. UserError on ids longer than the context.
    """
    if min(attention_rows, map_tokens, lens_positions) < 1:
        raise UserError(
            f"attention_rows, map_tokens and lens_positions are {attention_rows}, {map_tokens} and {lens_positions}; "
            "each must be at least 1"
        )
    config = model.config
    with looking_only(ids.device):
        if targets is None:
            targets = _next_ids(ids, document)
        rows = slice(0, attention_rows)
        visible = visible_keys(ids[rows], None if document is None else document[rows])
        counted = _counted_queries(visible)
        n_positions = min(ids.numel(), lens_positions)
        index = torch.arange(n_positions, device=ids.device) * ids.numel() // n_positions
        n_map = min(ids.shape[1], map_tokens)
        maps = torch.empty(config.n_layers, config.n_heads, n_map, n_map, device=ids.device)

        layer_figures, head_figures, depths = [], [], []
        for layer, block in enumerate(trace(model, ids, document)):
            layer_figures.append(_block_figures(block, config.mlp))
            logits = attention_logits(block.q[rows], block.k[rows], visible)
            # Twice from the logits: the fused softmax takes a tenth of the time of exp(log p).
            p, log_p = logits.softmax(dim=-1), logits.log_softmax(dim=-1)
            head_figures.append(torch.stack((_entropy(p, log_p, counted), logits.amax(dim=(0, 2, 3)))))
            maps[layer] = p[0, :, :n_map, :n_map]
            depths.append(block.stream.flatten(0, 1)[index])
            stream = block.stream
        lens, lens_depth = _lens(model, depths, targets.flatten()[index])
        hidden = model.final_norm(stream)

        by_layer = torch.cat((torch.stack(layer_figures, dim=1), lens))  # (figures, layers)
        by_head = torch.stack(head_figures, dim=1)  # (figures, layers, heads)
        host = torch.cat((by_layer.flatten(), by_head.flatten(), lens_depth[None])).cpu()
    n = by_layer.numel()
    layers = dict(zip(_LAYER_FIGURES, host[:n].view(by_layer.shape), strict=True))
    heads = dict(zip(_HEAD_FIGURES, host[n:-1].view(by_head.shape), strict=True))
    return Probe(_numbers(layers, heads, host[-1].item()), layers, heads, maps, hidden)


def by_head_tags(figure: str, values: Tensor) -> dict[str, float]:
    """values (layers, heads), on the host -> `heads/<figure>/LL.HH`: value."""
    return {
        f"heads/{figure}/{layer:02d}.{head:02d}": value
        for layer, row in enumerate(values.tolist())
        for head, value in enumerate(row)
    }


def _numbers(layers: dict[str, Tensor], heads: dict[str, Tensor], lens_depth: float) -> dict[str, float]:
    numbers = {
        f"layers/{figure}/{layer:02d}": value
        for figure, values in layers.items()
        for layer, value in enumerate(values.tolist())
    }
    for figure, values in heads.items():
        numbers |= by_head_tags(figure, values)
    return numbers | {
        "probe/attention_entropy_min": heads["attention_entropy"].min().item(),
        "probe/max_logit": heads["max_logit"].max().item(),
        "probe/dead_neurons": layers["dead_neurons"].max().item(),
        "probe/kurtosis_max": layers["kurtosis"].max().item(),
        "probe/lens_depth": lens_depth,
    }


def _block_figures(block: BlockTrace, mlp: str) -> Tensor:
    """The first eight of _LAYER_FIGURES, as one tensor on the device."""
    stream = block.stream.float()
    mean_square = stream.square().mean()
    # About zero, not about the mean: a column that is large everywhere is what this looks for. The square is scaled
    # before it is squared again, for float32 ends at 3e38.
    kurtosis = (stream.square() / mean_square).square().mean() - 3
    dead = _dead_units(block.up.float().flatten(0, 1), block.units.float().flatten(0, 1), mlp)
    return torch.stack(
        (
            mean_square.sqrt(),
            stream.abs().amax(),
            kurtosis,
            _rms(block.attention_out),
            _rms(block.mlp_out),
            _rms(block.units),
            block.units.float().abs().amax(),
            dead.float().mean(),
        )
    )


def _rms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.float()) / math.sqrt(x.numel())


def _dead_units(up: Tensor, units: Tensor, mlp: str) -> Tensor:
    """Which units are shut on every token: up (N, W) or (N, 2 W) before the non-linearity, units (N, W) -> (W,) bool.

    ReLU²: 0. The others never are: the largest |unit| is at most DEAD_SHARE of the size of what the unit is made from,
    its RMS over the tokens, SwiGLU's gate times value (GELU passes less than that below -3.1, SiLU below -6.9). So a
    unit that is only small is alive, whatever its scale.
    """
    largest = units.abs().amax(dim=0)
    if mlp == "relu2":
        return largest == 0
    size = torch.linalg.vector_norm(up, dim=0) / math.sqrt(len(up))
    if mlp == "swiglu":
        gate, value = size.chunk(2)
        size = gate * value
    return largest <= DEAD_SHARE * size


def _counted_queries(visible: Tensor) -> Tensor:
    """Weights (B, 1, T) over queries that sum to 1 over B and T: those that see FEWEST_KEYS keys, or all if none."""
    enough = visible.sum(dim=-1) >= FEWEST_KEYS
    weights = torch.where(enough.any(), enough, True).float()
    return weights / weights.sum()


def _entropy(p: Tensor, log_p: Tensor, counted: Tensor) -> Tensor:
    """-Σ p log p in nats, averaged over the queries that count.

    p, log_p (R, H, T, T), counted (1 or R, 1, T) -> (H,).
    """
    entropy = -(p * log_p).sum(dim=-1)  # (R, H, T)
    if len(counted) == 1:
        entropy = entropy.mean(dim=0, keepdim=True)
    return (entropy * counted).sum(dim=(0, 2))


def _next_ids(ids: Tensor, document: Tensor | None) -> Tensor:
    targets = torch.full_like(ids, NO_TARGET)
    targets[:, :-1] = ids[:, 1:]
    if document is not None:
        targets[:, :-1].masked_fill_(document[:, 1:] != document[:, :-1], NO_TARGET)
    return targets


def _lens(model: Transformer, depths: list[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    """The logit lens (nostalgebraist 2020): the last norm and the head on the stream after each block.

    depths: (N, C) a layer, targets (N,) -> (2, layers): mean loss in nats, share of positions whose first guess is
    already the last layer's; and the mean number of blocks, from 1 on, after which the first guess stays what it is.
    """
    losses, guesses = [], []
    counted = targets != NO_TARGET
    for stream in depths:  # one after the other: all at once would not fit the processor's caches
        logits = linear(model.final_norm(stream), model.head).float()  # (N, V)
        loss = logits.logsumexp(dim=-1) - logits.gather(1, targets.clamp(min=0)[:, None]).squeeze(1)
        losses.append(torch.where(counted, loss, 0.0).sum() / counted.sum())
        guesses.append(logits.argmax(dim=-1))
    agrees = torch.stack([guess == guesses[-1] for guess in guesses])  # (layers, N)
    settled = agrees.flip(0).cumprod(dim=0).sum(dim=0)  # how many of the last layers agree without a break
    depth = (len(depths) + 1 - settled).float().mean()
    return torch.stack((torch.stack(losses), agrees.float().mean(dim=1))), depth
