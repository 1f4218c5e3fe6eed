"""One training step on the CPU, ours and the peers': what bench_train_step.py races.

A peer is a function of the size that returns the step, itself a function without arguments. All do the same: forward,
loss, backward, clipping at 1, AdamW (matrices decay by 0.1), gradients cleared. The model is GPT-2: biases, exact GELU,
LayerNorm, learned positions, one matrix for reading and writing tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from plain_gpt import PlainGPT
from torch import Tensor, nn

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.data.batches import Batch
from jarvis_nano.model import Transformer
from jarvis_nano.training.distributed import World
from jarvis_nano.training.loop import Trainer, Validation

ROWS = 8
SIZES = {
    "L": ModelConfig(vocab_size=8192, context=256, n_layers=6, n_heads=6, d_model=384, bias=True),
    "S": ModelConfig(vocab_size=8192, context=256, n_layers=4, n_heads=4, d_model=256, bias=True),
}
TRAIN = TrainConfig(steps=1_000_000, batch_size=ROWS, learning_rate=1e-4, warmup=0.0)

Step = Callable[[], object]


def flops(size: str) -> int:
    return ROWS * SIZES[size].context * SIZES[size].flops_per_token


class _Same:
    """The same rows at every step."""

    def __init__(self, config: ModelConfig) -> None:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(config.vocab_size, (ROWS, config.context + 1), generator=generator)
        self.ids, self.targets = drawn[:, :-1].contiguous(), drawn[:, 1:].contiguous()

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        return Batch(self.ids, self.targets)


def ours(size: str) -> Step:
    """A step of the training loop itself, without its records."""
    torch.manual_seed(0)
    config = SIZES[size]
    trainer = Trainer(
        Path(), Transformer(config), TRAIN, _Same(config), Validation((), 0), World(0, 1, torch.device("cpu"))
    )
    trainer.model.train()

    def step() -> None:
        trainer._step(False)
        trainer.step += 1

    return step


def _with_adamw(model: nn.Module, loss_of: Callable[[], Tensor]) -> Step:
    """Plain torch's step: one fused AdamW, and clip_grad_norm_."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": TRAIN.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=TRAIN.learning_rate, betas=(TRAIN.beta1, TRAIN.beta2), fused=True)

    def step() -> None:
        loss_of().backward()
        nn.utils.clip_grad_norm_(model.parameters(), TRAIN.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()

    return step


def eager(size: str) -> Step:
    """nanoGPT's way: SDPA, F.layer_norm, F.gelu, F.cross_entropy."""
    torch.manual_seed(0)
    model, data = PlainGPT(SIZES[size]), _Same(SIZES[size])
    return _with_adamw(model, lambda: model(data.ids, data.targets))


def compiled(size: str) -> Step:
    """eager, its forward and backward through torch.compile."""
    torch.manual_seed(0)
    model, data = PlainGPT(SIZES[size]), _Same(SIZES[size])
    fast = torch.compile(model, fullgraph=True, dynamic=False)
    return _with_adamw(model, lambda: fast(data.ids, data.targets))


def transformers(size: str) -> Step:
    """The library's GPT-2, with the exact GELU as ours and SDPA."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config, data = SIZES[size], _Same(SIZES[size])
    drop = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), 0.0)
    shape = {"n_embd": config.d_model, "n_layer": config.n_layers, "n_head": config.n_heads}
    theirs = GPT2Config(
        vocab_size=config.vocab_size, n_positions=config.context, **shape, **drop, activation_function="gelu",
        attn_implementation="sdpa", use_cache=False, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(theirs).train()
    return _with_adamw(model, lambda: model(data.ids, labels=data.targets, use_cache=False).loss)


def products(size: str) -> Step:
    """The linear layers' products alone: forward, dx and dW of each, into buffers that are there already."""
    config = SIZES[size]
    N, C, F = ROWS * config.context, config.d_model, config.hidden_width
    widths = [(C, 3 * C), (C, C), (C, F), (F, C)] * config.n_layers + [(C, config.vocab_size)]
    values = {width: torch.randn(N, width) for width in {width for pair in widths for width in pair}}
    results = {width: torch.empty(N, width) for width in values}
    layers = [(torch.randn(out, into), torch.empty(out, into)) for into, out in widths]

    def step() -> None:
        for weight, _ in layers:
            torch.mm(values[weight.shape[1]], weight.t(), out=results[weight.shape[0]])
        for weight, d_weight in reversed(layers):
            dy, x = values[weight.shape[0]], values[weight.shape[1]]
            torch.mm(dy, weight, out=results[weight.shape[1]])
            torch.mm(dy.t(), x, out=d_weight)

    return step


PEERS: dict[str, Callable[[str], Step]] = {
    "ours": ours,
    "eager": eager,
    "compile": compiled,
    "transformers": transformers,
    "products": products,
}
