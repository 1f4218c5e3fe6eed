"""What `make gpu` measures: for each case our kernels and their peers, as functions to call in turns.

A case names what one call moves and computes, so that times become TB/s and TFLOP/s. benchmarks/gpu.py runs them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import torch
import torch._dynamo
import torch._functorch.config
import torch.nn.functional as F
from plain_gpt import PlainGPT
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jarvis_nano import kernels
from jarvis_nano.config import PRESETS, ModelConfig
from jarvis_nano.kernels import backends
from jarvis_nano.model import Transformer
from jarvis_nano.training import objective, optimizer
from jarvis_nano.training.objective import Objective

# Backward is timed over a graph that is kept; without this what torch.compile made refuses to walk it twice.
torch._functorch.config.donated_buffer = False
torch._dynamo.config.recompile_limit = 64  # a function is compiled for each shape; past the limit it would run as it is

Runs = dict[str, tuple[Callable[[], Tensor], list[Tensor]]]


@dataclass(frozen=True)
class Case:
    """One line of the results. `runners`: a name (our backend, or a peer) and what it runs once."""

    op: str
    name: str
    runners: dict[str, Callable[[], object]]
    bytes: int = 0
    flops: int = 0
    tokens: int = 0
    rounds: int = 30
    notes: dict[str, str] = field(default_factory=dict)  # a peer that cannot run, and why


@dataclass(frozen=True)
class Place:
    """Where and how large: a GPU and the real sizes, or (for tests) a CPU, the interpreter and tiny ones."""

    device: str
    rehearsal: bool

    @property
    def dtype(self) -> torch.dtype:
        return torch.float16 if self.rehearsal else torch.bfloat16  # the interpreter multiplies bfloat16 wrongly

    def randn(self, *shape: int, dtype: torch.dtype | None = None, grad: bool = True) -> Tensor:
        tensor = torch.randn(shape, device=self.device, dtype=dtype or self.dtype)
        return tensor.requires_grad_(grad)

    def ours(self, op: str, dtype: torch.dtype | None, width: int | None) -> list[str]:
        entry = backends.all_ops()[op]
        names = [name for name in entry.load if name in ("triton", "cuda")]
        return [name for name in names if entry.why_not(name, self.device, dtype, width) is None]


def walk(run: Callable[[], Tensor], inputs: list[Tensor], backward: bool) -> Callable[[], object]:
    """`run` alone, or its gradient alone (the graph is kept and walked again)."""
    if not backward:
        return run
    out = run()
    d_out = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, inputs, d_out, retain_graph=True)


def possible(runs: Runs, backward: bool) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """What each of `runs` (a function and its inputs) does once, and for peers that do not run here, why."""
    able, notes = {}, {}
    for name, (run, inputs) in runs.items():
        try:
            able[name] = walk(run, inputs, backward)
            able[name]()
        except (RuntimeError, TypeError, ImportError) as error:  # SDPA: "No available kernel"
            able.pop(name, None)
            if name in backends.NAMES:
                raise
            notes[name] = str(error).splitlines()[0]
    return able, notes


def sdpa(kind: SDPBackend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with sdpa_kernel(kind):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def flash_attn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return import_module("flash_attn").flash_attn_func(q, k, v, causal=True)


def attention(place: Place) -> Iterator[Case]:
    """Causal, 16k tokens at a time, 2,048 channels, as in the published figures."""
    widths, lengths, tokens, channels = (64, 128), (1024, 2048, 4096, 8192), 16384, 2048
    if place.rehearsal:
        widths, lengths, tokens, channels = (64,), (32,), 64, 128
    for D, T, backward in itertools.product(widths, lengths, (False, True)):
        shape = (tokens // T, T, channels // D, D)
        # (B, T, H, D) in memory, as a projection leaves it; flash-attn takes that order itself
        inputs = [place.randn(*shape, grad=backward) for _ in range(3)]
        q, k, v = (t.transpose(1, 2) for t in inputs)

        runs: Runs = {
            name: (partial(kernels.causal_attention, q, k, v, backend=name), inputs)
            for name in place.ours("causal_attention", place.dtype, D)
        }
        peers = {"sdpa": SDPBackend.MATH}
        if not place.rehearsal:
            peers = {"sdpa flash": SDPBackend.FLASH_ATTENTION, "sdpa cudnn": SDPBackend.CUDNN_ATTENTION}
        for name, kind in peers.items():
            runs[name] = partial(sdpa, kind, q, k, v), inputs
        if find_spec("flash_attn"):
            runs["flash-attn"] = partial(flash_attn, *inputs), inputs
        able, notes = possible(runs, backward)
        flops = 2 * tokens * T * channels * (5 if backward else 2) // 2
        name = f"D={D} T={T} {'backward' if backward else 'forward'}"
        yield Case("causal_attention", name, able, flops=flops, notes=notes)


def plain_norm(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], weight) if bias is None else F.layer_norm(x, x.shape[-1:], weight, bias)


def plain_sum_and_norm(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    total = x + residual
    return F.layer_norm(total, x.shape[-1:], weight, bias), total


def layernorm(place: Place) -> Iterator[Case]:
    rows, widths = (32768, (768, 1024, 2048, 4096)) if not place.rehearsal else (6, (40,))
    for N, rms, backward in itertools.product(widths, (False, True), (False, True)):
        x, weight, bias = (place.randn(*shape, grad=backward) for shape in ((rows, N), (N,), (N,)))
        wide = [weight.detach().float().requires_grad_(backward), bias.detach().float().requires_grad_(backward)]
        runs: Runs = {}
        for name in place.ours("layer_norm", place.dtype, N):
            if rms:
                runs[name] = partial(kernels.rms_norm, x, wide[0], backend=name), [x, wide[0]]
            else:
                runs[name] = partial(kernels.layer_norm, x, *wide, backend=name), [x, *wide]
        peer = (x, weight, None if rms else bias)
        peer_inputs = [x, weight] if rms else [x, weight, bias]
        runs["torch"] = partial(plain_norm, *peer), peer_inputs
        if N in (768, 4096):  # a compilation takes seconds, and all cases have nine minutes
            runs["compiled"] = partial(torch.compile(plain_norm, dynamic=False), *peer), peer_inputs
        able, notes = possible(runs, backward)
        moved = x.numel() * x.element_size() * (3 if backward else 2)
        name = f"{'rms' if rms else 'layer'} N={N} {'backward' if backward else 'forward'}"
        yield Case("layer_norm", name, able, bytes=moved, notes=notes)
        if not backward and not rms:
            residual = place.randn(rows, N, grad=False)
            both: dict[str, Callable[[], object]] = {
                name: partial(kernels.layer_norm, x, *wide, residual=residual, backend=name)
                for name in place.ours("layer_norm", place.dtype, N)
            }
            both["torch"] = partial(plain_sum_and_norm, x, residual, weight, bias)
            if N in (768, 4096):
                fused = torch.compile(plain_sum_and_norm, dynamic=False)
                both["compiled"] = partial(fused, x, residual, weight, bias)
            yield Case("layer_norm", f"layer N={N} with residual", both, bytes=2 * moved)


def cross_entropy(place: Place) -> Iterator[Case]:
    """Forward and backward of the output head of GPT-2."""
    tokens, C, V = (16384, 768, 50304) if not place.rehearsal else (8, 16, 40)
    x, weight = place.randn(tokens, C), place.randn(V, C, dtype=torch.float32)
    target = torch.randint(0, V, (tokens,), device=place.device)

    def ours(backend):
        def run():
            loss = kernels.linear_cross_entropy(x, weight, target, backend=backend).loss.sum() / tokens
            return torch.autograd.grad(loss, [x, weight])

        return run

    def plain():
        with torch.autocast(place.device, place.dtype):
            loss = F.cross_entropy(F.linear(x, weight).float(), target)
        return torch.autograd.grad(loss, [x, weight])

    def logits():
        with torch.autocast(place.device, place.dtype):
            return F.cross_entropy(F.linear(x, weight).float(), target)

    runs = {name: ours(name) for name in place.ours("linear_cross_entropy", torch.float32, C)} | {"torch": plain}
    if not place.rehearsal:
        compiled = torch.compile(logits, dynamic=False)
        runs["compiled"] = lambda: torch.autograd.grad(compiled(), [x, weight])
    yield Case("linear_cross_entropy", f"N={tokens} C={C} V={V}", runs, flops=6 * tokens * C * V)


def adamw(place: Place) -> Iterator[Case]:
    """One step with clipping over the tensors of GPT-2 124M: reads p, g, m, v and writes p, m, v, float32."""
    model = Transformer(gpt2(place)).to(place.device)
    leaves = list(model.parameters())
    for leaf in leaves:
        leaf.grad = torch.randn_like(leaf) * 1e-3
    params, grads = [leaf.detach().clone() for leaf in leaves], [leaf.grad for leaf in leaves]
    first, second = ([torch.zeros_like(p) for p in params] for _ in range(2))
    theirs = torch.optim.AdamW(leaves, lr=1e-4, weight_decay=0.1, fused=True)

    def ours(backend):
        return lambda: kernels.adamw_step(
            params, grads, first, second, lr=1e-4, weight_decay=0.1, step=10, max_norm=1.0, backend=backend
        )

    def torchs():
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        theirs.step()

    runs = {name: ours(name) for name in place.ours("adamw_step", None, None)} | {"torch": torchs}
    n = sum(p.numel() for p in params)
    yield Case("adamw_step", f"{n / 1e6:.0f}M values with clipping", runs, bytes=32 * n)


def plain_gelu(x: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(x + bias)


def plain_rotary(q: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = q.chunk(2, -1)
    c, s = cos[:, None].to(q.dtype), sin[:, None].to(q.dtype)
    return torch.cat((first * c - second * s, second * c + first * s), -1)


def elementwise(place: Place) -> Iterator[Case]:
    """GELU with bias and rotary positions at GPT-2's sizes, 32k tokens."""
    tokens, C = (32768, 3072) if not place.rehearsal else (4, 32)
    for backward in (False, True):
        x, bias = place.randn(tokens, C), place.randn(C)
        wide = bias.detach().float().requires_grad_()
        runs: Runs = {
            name: (partial(kernels.gelu, x, wide, backend=name), [x, wide])
            for name in place.ours("activation", place.dtype, C)
        }
        runs["torch"] = partial(plain_gelu, x, bias), [x, bias]
        if not place.rehearsal:
            runs["compiled"] = partial(torch.compile(plain_gelu, dynamic=False), x, bias), [x, bias]
        able, notes = possible(runs, backward)
        moved = x.numel() * x.element_size() * (3 if backward else 2)
        yield Case("activation", f"gelu {'backward' if backward else 'forward'}", able, bytes=moved, notes=notes)
    B, T, H, D = (32, 1024, 24, 64) if not place.rehearsal else (1, 4, 2, 8)
    q = place.randn(B, T, H, D, grad=False)
    positions = torch.arange(T, device=place.device)
    angle = torch.outer(positions.float(), 10000 ** -torch.arange(0, 1, 2 / D, device=place.device))
    cos, sin = angle.cos(), angle.sin()
    turns: dict[str, Callable[[], object]] = {
        name: partial(kernels.apply_rotary, q, cos, sin, positions, backend=name)
        for name in place.ours("rotary", place.dtype, D)
    }
    turns["torch"] = partial(plain_rotary, q, cos, sin)
    if not place.rehearsal:
        turns["compiled"] = partial(torch.compile(plain_rotary, dynamic=False), q, cos, sin)
    yield Case("rotary", f"({B}, {T}, {H}, {D})", turns, bytes=2 * q.numel() * q.element_size())


def gpt2(place: Place) -> ModelConfig:
    """The preset `small`, GPT-2 124M."""
    if not place.rehearsal:
        return PRESETS["small"].model
    return ModelConfig(vocab_size=50, context=16, n_layers=1, n_heads=2, d_model=32, bias=True)


def train_step(place: Place) -> Iterator[Case]:
    """A whole step of `small`, one micro-batch: ours as training runs it, a plain GPT, both compiled, bfloat16."""
    config = gpt2(place)
    rows = 32 if not place.rehearsal else 2
    ids = torch.randint(0, config.vocab_size, (rows, config.context + 1), device=place.device)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    tokens = inputs.numel()

    def compiled(model):
        return model if place.rehearsal else objective.compiled(model)

    def ours():
        model = Transformer(config).to(place.device)
        replica, steps = compiled(Objective(model, 0.0)), optimizer.build(model, PRESETS["small"].train)

        def run():
            with torch.autocast(place.device, torch.bfloat16):
                loss, _ = replica(inputs, targets)
            (loss / tokens).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for one in steps:
                one.step()
                one.zero_grad()

        return run

    def plain():
        model = PlainGPT(config).to(place.device)
        replica = compiled(model)
        step = torch.optim.AdamW(model.parameters(), lr=6e-4, weight_decay=0.1, fused=True)

        def run():
            with torch.autocast(place.device, torch.bfloat16):
                loss = replica(inputs, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            step.step()
            step.zero_grad()

        return run

    runners = {"auto": ours(), "plain torch, compiled": plain()}
    flops = tokens * config.flops_per_token
    yield Case("train_step", f"GPT-2 124M, {rows} x {config.context}", runners, flops=flops, tokens=tokens, rounds=12)


ALL = (attention, layernorm, cross_entropy, adamw, elementwise, train_step)
