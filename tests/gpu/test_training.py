"""A small Transformer trained with our kernels under bfloat16 autocast: its loss falls as with plain torch.

The curves of two runs never agree to the bit. How far apart they may be is measured: a second run in plain torch starts
from weights that are one unit of bfloat16's last place away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest
import torch
from gpu_case import DEVICE, PAIRS, REHEARSAL, needs
from torch import Tensor

from jarvis_nano import kernels
from jarvis_nano.config import ModelConfig
from jarvis_nano.kernels import backends
from jarvis_nano.model import Transformer

STEPS, BATCH = (2, 2) if REHEARSAL else (200, 8)
SMALL = {"vocab_size": 64, "context": 12, "n_layers": 1, "n_heads": 2, "d_model": 16}
FULL = {"vocab_size": 2048, "context": 256, "n_layers": 4, "n_heads": 4, "d_model": 256}
SIZES = SMALL if REHEARSAL else FULL
STYLES = {
    "gpt2": ModelConfig(**SIZES, bias=True),
    "nano": ModelConfig(
        **SIZES, n_kv_heads=1, norm="rmsnorm", positions="rotary", mlp="relu2", qk_norm=True, tie_embeddings=False
    ),
    "llama": ModelConfig(**SIZES, norm="rmsnorm", positions="rotary", mlp="swiglu", tie_embeddings=False),
}
RATE, WARM_UP, BETAS, DECAY, MAX_NORM = 1e-3, 20, (0.9, 0.95), 0.1, 1.0
SLACK = 0.004  # nats, beside three times the distance of two runs in plain torch


@contextmanager
def chosen(table: dict[str, str]) -> Iterator[None]:
    """Ops of the table run on the backend given there or raise; all others on the reference."""
    plain = backends.Op.choose

    def choose(op: backends.Op, tensor: Tensor, backend: str = "auto") -> str:
        return plain(op, tensor, table.get(op.name, "reference") if backend == "auto" else backend)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends.Op, "choose", choose)
        yield


@cache
def text(n_tokens: int, vocabulary: int) -> Tensor:
    """A chain in which few ids are frequent and each is followed by one of four: about one nat an id."""
    rng = np.random.default_rng(7)
    frequency = 1 / np.arange(1, vocabulary + 1)
    followers = rng.choice(vocabulary, size=(vocabulary, 4), p=frequency / frequency.sum())
    which = rng.choice(4, size=n_tokens, p=[0.55, 0.25, 0.15, 0.05])
    ids, now = np.empty(n_tokens, dtype=np.int64), 0
    for i in range(n_tokens):
        now = followers[now, which[i]]
        ids[i] = now
    return torch.from_numpy(ids)


class AdamW:
    """torch's, or the op of ours that the table names; both clip first."""

    def __init__(self, model: Transformer, ours: bool) -> None:
        self.params, self.ours, self.t = list(model.parameters()), ours, 0
        self.decays = [DECAY * (p.dim() > 1) for p in self.params]
        if ours:
            self.m, self.v = ([torch.zeros_like(p) for p in self.params] for _ in range(2))
        else:
            groups = [{"params": [p], "weight_decay": decay} for p, decay in zip(self.params, self.decays)]
            self.torchs = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, foreach=True)

    def step(self) -> None:
        self.t += 1
        rate = RATE * min(1.0, self.t / WARM_UP)
        grads = [p.grad for p in self.params]
        if self.ours:
            settings = {"betas": BETAS, "weight_decay": self.decays, "max_norm": MAX_NORM}
            kernels.adamw_step(self.params, grads, self.m, self.v, lr=rate, step=self.t, **settings)
        else:
            torch.nn.utils.clip_grad_norm_(self.params, MAX_NORM)
            for group in self.torchs.param_groups:
                group["lr"] = rate
            self.torchs.step()
        for p in self.params:
            p.grad = None


def curve(style: str, table: dict[str, str], *, steps: int = STEPS, nudged: bool = False) -> Tensor:
    """The loss of each step."""
    config = STYLES[style]
    torch.manual_seed(0)
    model = Transformer(config).to(DEVICE)
    if nudged:
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 + 2**-8 * torch.randint(0, 2, p.shape).mul(2).sub(1).to(DEVICE))
    ids = text(steps * BATCH * config.context + 1, config.vocab_size).to(DEVICE)
    optimizer = AdamW(model, ours="adamw_step" in table)
    losses = []
    with chosen(table):
        for step in range(steps):
            first = step * BATCH * config.context
            some = ids[first : first + BATCH * config.context + 1]
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=not REHEARSAL):
                loss = model.loss(some[:-1].view(BATCH, -1), some[1:].view(BATCH, -1)).loss
            mean = loss.sum() / loss.numel()
            mean.backward()
            optimizer.step()
            losses.append(mean.detach())
    return torch.stack(losses).cpu()


@cache
def of_torch(style: str) -> tuple[Tensor, float]:
    """The curve of plain torch, and the mean distance of another such run."""
    plain = curve(style, {})
    return plain, (plain - curve(style, {}, nudged=True)).abs().mean().item()


def check(style: str, table: dict[str, str]) -> None:
    plain, apart = of_torch(style)
    ours = curve(style, table)
    assert (ours[0] - plain[0]).abs() < 0.01, f"the first loss is {ours[0]:.4f} in place of {plain[0]:.4f}"
    distance = (ours - plain).abs().mean().item()
    allowed = 3 * apart + SLACK
    assert distance <= allowed, f"{distance:.4f} nats apart on average; two runs in plain torch: {apart:.4f}"
    if not REHEARSAL:
        last, start = ours[-10:].mean(), ours[0]
        assert last < start - 1, f"the loss went from {start:.3f} to {last:.3f}"


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_one_kernel_among_plain_torch_learns_as_plain_torch(op, backend):
    needs(op, backend)
    check("nano", {op: backend})


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("first_choice", sorted({backend for _, backend in PAIRS}))
def test_all_kernels_together_learn_as_plain_torch(first_choice, style):
    for op, backend in PAIRS:
        if backend == first_choice:
            needs(op, backend)
    table = {op: backend for op, backend in PAIRS if backend == "triton"}
    check(style, table | {op: backend for op, backend in PAIRS if backend == first_choice})
