"""A training small enough for a test, whose measurements are made here, by autograd and plain tensors alone."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.corpus.stories import story
from jarvis_nano.model import Transformer
from jarvis_nano.training import optimizer, schedule

MODEL = ModelConfig(vocab_size=96, context=48, n_layers=3, n_heads=2, d_model=48)
TRAIN = TrainConfig(steps=200, batch_size=6, learning_rate=3e-3, warmup=0.1, log_every=5)
EVAL_EVERY, PROBE_EVERY = 40, 20

Row = dict[str, float]


@cache
def text(first: int, count: int) -> Tensor:
    """Stories as ids of characters; 0 stands for the rare ones."""
    letters = sorted(Counter("".join(story(1, i) for i in range(40))).most_common(), key=lambda item: -item[1])
    ids = {letter: index + 1 for index, (letter, _) in enumerate(letters[: MODEL.vocab_size - 1])}
    return torch.tensor([ids.get(c, 0) for i in range(first, first + count) for c in story(1, i)])


def train(
    model_config: ModelConfig = MODEL,
    config: TrainConfig = TRAIN,
    *,
    n_stories: int = 400,
    prepare: Callable[[Transformer], None] = lambda model: None,
    at_step: Callable[[Transformer, int], None] = lambda model, step: None,
) -> list[Row]:
    """Train and return the rows that a run would have written."""
    torch.manual_seed(config.seed)
    model = Transformer(model_config)
    prepare(model)
    optimizers = optimizer.build(model, config)
    data, held_out = text(0, n_stories), text(1000, 40)
    T, rows = model_config.context, []
    clipped: list[bool] = []
    losses: deque[float] = deque(maxlen=128)
    sums: list[tuple[float, float, float]] = []
    for step in range(1, config.steps + 1):
        at_step(model, step)
        ids, targets = batch(data, T, config.batch_size)
        loss, entropy, log_z = measured(model, ids, targets)
        loss.backward()
        logged = step % config.log_every == 0
        before = {name: p.detach().clone() for name, p in model.named_parameters()} if logged else {}
        norms = block_norms({n: p.grad for n, p in model.named_parameters()}, model_config.n_layers)
        for one in optimizers:
            for group in one.param_groups:
                group["lr"] = group["peak_lr"] * schedule.rate(step - 1, config)
        norm = float(optimizer.clip_and_step(optimizers, config.max_grad_norm)[0])
        for one in optimizers:
            one.zero_grad()
        sums.append((loss.item(), entropy, log_z))
        clipped.append(norm > config.max_grad_norm)
        if logged:
            mean = [sum(column) / len(sums) for column in zip(*sums, strict=True)]
            row: Row = {"step": step, "time": float(step), "train/loss": mean[0], "train/entropy": mean[1]}
            row |= {"train/log_z": mean[2], "train/grad_norm": norm, "train/clip_rate": sum(clipped) / len(clipped)}
            row["train/learning_rate"] = config.learning_rate * schedule.rate(step - 1, config)
            row["train/weight_norm"] = math.sqrt(sum(p.double().square().sum().item() for p in model.parameters()))
            changes = {name: p.detach() - before[name] for name, p in model.named_parameters()}
            sizes = block_norms(before, model_config.n_layers)
            moved = block_norms(changes, model_config.n_layers)
            row |= {f"layers/grad_norm/{name}": value for name, value in norms.items()}
            row |= {f"layers/update_ratio/{name}": value / sizes[name] for name, value in moved.items()}
            if len(losses) > 1:
                spread = torch.tensor(list(losses)).std().item()
                row["train/loss_spike"] = (mean[0] - sum(losses) / len(losses)) / max(spread, 1e-9)
            rows.append(row)
            sums, clipped = [], []
        losses.append(loss.item())
        if step % PROBE_EVERY == 0:
            rows.append({"step": step, "time": float(step), **probe(model, batch(held_out, T, 2)[0])})
        if step % EVAL_EVERY == 0:
            with torch.no_grad():
                generator = torch.Generator().manual_seed(0)
                value = measured(model, *batch(held_out, T, 24, generator))[0].item()
            rows.append({"step": step, "time": float(step), "eval/loss": value})
    return rows


def batch(data: Tensor, T: int, n_rows: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    starts = torch.randint(0, len(data) - T - 1, (n_rows,), generator=generator)
    windows = torch.stack([data[start : start + T + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]


def measured(model: Transformer, ids: Tensor, targets: Tensor) -> tuple[Tensor, float, float]:
    """Loss, mean entropy and mean log Z from the whole logits."""
    logits = model(ids).flatten(0, 1)
    log_p = F.log_softmax(logits, dim=-1)
    entropy = -(log_p.exp() * log_p).sum(-1).mean().item()
    return F.nll_loss(log_p, targets.flatten()), entropy, logits.logsumexp(-1).mean().item()


def block_norms(tensors: dict[str, Tensor | None], n_layers: int) -> dict[str, float]:
    """The norm of each block's tensors together, of the embeddings' and the rest's; 0 where there are none."""
    squares = {"embedding": 0.0, **{f"{layer:02d}": 0.0 for layer in range(n_layers)}, "final": 0.0}
    for name, tensor in tensors.items():
        if tensor is not None:
            own = "embedding" if "embedding" in name else "final"
            own = f"{int(name.split('.')[1]):02d}" if name.startswith("blocks.") else own
            squares[own] += tensor.double().square().sum().item()
    return {name: math.sqrt(value) for name, value in squares.items()}


@torch.no_grad()
def probe(model: Transformer, ids: Tensor) -> Row:
    """Largest logits and entropies of the heads, dead units, kurtosis of the stream: block by block, by hand."""
    config, row = model.config, {}
    positions = torch.arange(ids.shape[1])
    stream = model.token_embedding(ids)
    if config.positions == "learned":
        stream = stream + model.position_embedding(positions)
    future = torch.ones(len(positions), len(positions), dtype=torch.bool).triu(1)
    for layer, block in enumerate(model.blocks):
        h = block.attention_norm(stream)
        attention, D = block.attention, config.d_head
        qkv = attention.qkv(h).view(*h.shape[:2], -1, D)
        q, k = qkv[:, :, : config.n_heads], qkv[:, :, config.n_heads : 2 * config.n_heads]
        if attention.qk_scale is not None:
            q, k = (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * attention.qk_scale for x in (q, k))
        if attention.rotary is not None:
            q, k = attention.rotary(q, positions), attention.rotary(k, positions)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(D)
        weights = scores.masked_fill(future, -math.inf).softmax(-1)
        entropy = -torch.xlogy(weights, weights).sum(-1)[:, :, 8:].mean((0, 2))
        for head in range(config.n_heads):
            row[f"heads/max_logit/{layer:02d}.{head:02d}"] = scores.masked_fill(future, -math.inf)[:, head].max().item()
            row[f"heads/attention_entropy/{layer:02d}.{head:02d}"] = entropy[head].item()
        stream = stream + attention(h, positions, None, None)
        h = block.mlp_norm(stream)
        if config.mlp == "relu2":
            row[f"layers/dead_neurons/{layer:02d}"] = (block.mlp.up(h) <= 0).all(0).all(0).float().mean().item()
        stream = stream + block.mlp(h)
        centred = stream - stream.mean()
        kurtosis = centred.pow(4).mean() / centred.square().mean().square() - 3
        row[f"layers/kurtosis/{layer:02d}"] = kurtosis.item()
    return row


def changed(model: dict | None = None, **train_fields) -> tuple[ModelConfig, TrainConfig]:
    return dataclasses.replace(MODEL, **(model or {})), dataclasses.replace(TRAIN, **train_fields)
