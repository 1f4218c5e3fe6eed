"""Ids after ids: the KV cache, sampling, and generation for one prompt or for many. Text and turns are chat.py's.

Sampling, in this order: temperature, top-k, top-p. The logits are divided by the temperature (0: the most probable
token, nothing is drawn), the k most probable tokens stay, then of those, rescaled to sum to 1, the smallest set whose
probability reaches p. One number drawn uniformly per token picks from what is left.

Randomness: row r of a batch has its own generator, seeded from (seed, r), so the text of a row does not depend on how
many rows are computed together. (Its logits do, in the last bits of a float: a draw that falls within 1e-6 of the
border between two tokens may go either way.)

Past the model's context the window starts anew: when its ids no longer fit, the last half of them is read again at
positions 0, 1, …, and the window fills up from there. What a token sees thus depends on the text alone, with learned
and rotary positions alike, and the cache stays exact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from jarvis_nano.errors import UserError

if TYPE_CHECKING:
    from jarvis_nano.model import Transformer

Ids = Sequence[int] | np.ndarray | Tensor

ROWS_AT_ONCE = 256
NUCLEUS_HEAD = 256  # tokens sorted at first for top-p
# A batch is made smaller only once this share of its rows has ended: each shrinking copies the whole cache.
SHRINK_BELOW = 0.875


class KVCache:
    """The keys and values of every layer for the positions already read, in buffers that double when they are full.

    `room` positions are allocated at first. The first `append` fixes the number of rows, the dtype and the device.
    """

    def __init__(self, room: int = 256) -> None:
        self.length = 0
        self.room = max(1, room)
        self._layers: list[tuple[Tensor, Tensor]] = []

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v (B, Hkv, T, D) after `length`; return views of all so far, (B, Hkv, length + T, D)."""
        end = self.length + k.shape[2]
        while self.room < end:
            self.room *= 2
        if layer == len(self._layers):
            self._layers.append((self._buffer_like(k), self._buffer_like(v)))
        keys, values = self._layers[layer]
        if keys.shape[2] < end:
            keys, values = self._moved(keys), self._moved(values)
            self._layers[layer] = (keys, values)
        keys[:, :, self.length : end] = k
        values[:, :, self.length : end] = v
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, n_tokens: int) -> None:
        """The positions just appended to every layer now count."""
        self.length += n_tokens

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot cut a cache of {self.length} positions to {length}")
        self.length = length

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows of the batch, in this order."""
        for layer, (keys, values) in enumerate(self._layers):
            used = (keys[:, :, : self.length], values[:, :, : self.length])
            self._layers[layer] = (self._moved(used[0][rows]), self._moved(used[1][rows]))

    def _buffer_like(self, x: Tensor) -> Tensor:
        B, H, _, D = x.shape
        return x.new_empty(B, H, self.room, D)

    def _moved(self, old: Tensor) -> Tensor:
        new = self._buffer_like(old)
        new[:, :, : self.length] = old[:, :, : self.length]
        return new


def sample(logits: Tensor, uniforms: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """One id a row: logits (B, V) and numbers in [0, 1) (B,) -> ids (B,).

    top_k 0 and top_p 1 keep everything. UserError where the logits are not finite, as of a model that has diverged.
    """
    if not torch.isfinite(logits.amax(dim=-1)).all():
        raise UserError("the model's logits are not finite: its weights have diverged; take an earlier checkpoint")
    if temperature == 0.0:
        return logits.argmax(dim=-1)
    p = (logits.float() / max(temperature, 1e-30)).softmax(dim=-1)  # a floor that float32 can hold: never 0 / 0
    vocab_size = p.shape[-1]
    if 0 < top_k < vocab_size:
        p, candidates = p.topk(top_k, dim=-1)
        return candidates.gather(1, _draw(p / p.sum(dim=-1, keepdim=True), uniforms, top_p)).squeeze(1)
    if top_p == 1.0:
        return _draw(p, uniforms, top_p).squeeze(1)
    # Sorting a whole vocabulary takes as long as a small model does: few rows need more than the first of it.
    head, candidates = p.topk(min(NUCLEUS_HEAD, vocab_size), dim=-1)
    picked = candidates.gather(1, _draw(head, uniforms, top_p))
    wide = head.sum(dim=-1) < top_p
    if wide.any():
        whole, candidates = p[wide].sort(dim=-1, descending=True)
        picked[wide] = candidates.gather(1, _draw(whole, uniforms[wide], top_p))
    return picked.squeeze(1)


def _draw(p: Tensor, uniforms: Tensor, top_p: float) -> Tensor:
    """p (B, K) of a sum of 1 at most, sorted unless top_p is 1, and numbers in [0, 1) (B,) -> places (B, 1)."""
    p = p.double()  # sums over a large vocabulary in float32 are wrong by more than a rare token's share
    if top_p < 1.0:
        p = p.masked_fill(p.cumsum(dim=-1) - p >= top_p, 0.0)
    cumulative = p.cumsum(dim=-1)
    # right=True: a token of probability 0 spans an empty interval and is never found.
    return torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)


def stream(
    model: Transformer,
    ids: Ids,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: int | Collection[int] = (),
    row: int = 0,
    cache: KVCache | None = None,
) -> Iterator[int]:
    """The ids that follow `ids`, one by one, at most max_new_tokens; ends early only before an id of `stop`.

    `row` picks the generator (seed, row): row r of a generate_batch, alone. `cache`, where given, must hold exactly
    ids[:cache.length] and fewer than all of them; only the rest is read, and it holds what was read when the iterator
    ends. UserError on an empty prompt, one longer than the context, or settings out of range.
    """
    prompt = _checked_prompt(model, ids)
    _check_settings(max_new_tokens, temperature, top_k, top_p, seed)
    if cache is not None and cache.length >= len(prompt):
        raise ValueError(f"the cache holds {cache.length} positions, the prompt only {len(prompt)}")
    generator = np.random.default_rng((seed, row))
    stops = _stop_set(stop)

    def follow() -> Iterator[int]:
        room = min(len(prompt) + max_new_tokens, model.config.context)
        window = _Window(model, prompt[None], KVCache(room) if cache is None else cache)
        for step in range(max_new_tokens):
            u = torch.tensor([generator.random()], dtype=torch.float64, device=window.device)
            following = sample(window.logits(), u, temperature=temperature, top_k=top_k, top_p=top_p)
            token = int(following)
            if token in stops:
                return
            yield token
            if step + 1 < max_new_tokens:
                window.append(following)

    return follow()


def generate(
    model: Transformer,
    ids: Ids,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: int | Collection[int] = (),
) -> np.ndarray:
    """The new ids that follow `ids` (n,) int64, without the stop id; see `stream` for the arguments and errors."""
    new = stream(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=stop,
    )
    return np.fromiter(new, dtype=np.int64)


def generate_batch(
    model: Transformer,
    prompts: Sequence[Ids],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: int | Collection[int] = (),
    batch_size: int = ROWS_AT_ONCE,
) -> list[np.ndarray]:
    """What follows each prompt, as `generate` says it; prompts of any lengths, at most batch_size computed together.

    Row r draws from the generator (seed, r), whatever batch_size is. Prompts of one length run together, since rows
    of one length need neither padding nor masks; rows that have ended leave the batch.
    """
    checked = [_checked_prompt(model, prompt, f"prompt {row}: ") for row, prompt in enumerate(prompts)]
    _check_settings(max_new_tokens, temperature, top_k, top_p, seed)
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; it must be at least 1")
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(checked):
        by_length.setdefault(len(prompt), []).append(row)
    draw = partial(sample, temperature=temperature, top_k=top_k, top_p=top_p)
    stops = np.array(sorted(_stop_set(stop)), dtype=np.int64)
    found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(checked)
    for rows in by_length.values():
        for first in range(0, len(rows), batch_size):
            some = rows[first : first + batch_size]
            uniforms = np.stack([np.random.default_rng((seed, row)).random(max_new_tokens) for row in some])
            ids = np.stack([checked[row] for row in some])
            for row, text in zip(some, _follow_rows(model, ids, uniforms, stops, draw), strict=True):
                found[row] = text
    return found


def _follow_rows(
    model: Transformer,
    ids: np.ndarray,
    uniforms: np.ndarray,
    stops: np.ndarray,
    draw: Callable[[Tensor, Tensor], Tensor],
) -> list[np.ndarray]:
    """ids (B, T) prompts and uniforms (B, N) in [0, 1) -> B arrays of at most N new ids."""
    B, N = uniforms.shape
    window = _Window(model, ids, KVCache(min(ids.shape[1] + N, model.config.context)))
    new = np.empty((B, N), dtype=np.int64)
    lengths = np.full(B, N)
    live = np.arange(B)  # the row that stands in each place of the window
    running = np.ones(B, dtype=bool)  # by place: has it not ended yet
    for step in range(N):
        u = torch.from_numpy(uniforms[live, step]).to(window.device)
        following = draw(window.logits(), u)
        tokens = following.cpu().numpy()
        new[live, step] = tokens
        ends = running & np.isin(tokens, stops)
        lengths[live[ends]] = step
        running &= ~ends
        if not running.any() or step + 1 == N:
            break
        window.append(following)
        if running.sum() <= SHRINK_BELOW * len(live):
            window.keep(torch.from_numpy(np.flatnonzero(running)))
            live, running = live[running], running[running]
    return [new[row, : lengths[row]].copy() for row in range(B)]


class _Window:
    """Rows of equal length and their cache: the ids that the next token may look back on, at most a context."""

    def __init__(self, model: Transformer, ids: np.ndarray, cache: KVCache) -> None:
        self.model, self.cache = model, cache
        self.device = next(model.parameters()).device
        self.ids = torch.zeros((len(ids), model.config.context), dtype=torch.int64, device=self.device)
        self.length = ids.shape[1]
        self.ids[:, : self.length] = torch.from_numpy(ids)

    def logits(self) -> Tensor:
        """(B, V) of the token after the window; reads only what the cache does not hold."""
        training = self.model.training
        if training:  # no dropout, also in a sample taken between two steps of training
            self.model.eval()
        try:
            # no_grad, not inference_mode: a buffer that a model makes on the way must stay fit for training.
            with torch.no_grad():
                h = self.model.hidden(self.ids[:, self.cache.length : self.length], cache=self.cache)
                return self.model.head(h[:, -1]).float()
        finally:
            if training:
                self.model.train()

    def append(self, following: Tensor) -> None:
        """One more id a row (B,). Past the context, only the last half of it remains, to be read anew."""
        context = self.ids.shape[1]
        if self.length == context:
            kept = max(1, context // 2) - 1
            self.ids[:, :kept] = self.ids[:, context - kept :].clone()
            self.length = kept
            self.cache.truncate(0)
        self.ids[:, self.length] = following
        self.length += 1

    def keep(self, rows: Tensor) -> None:
        rows = rows.to(self.device)
        self.ids = self.ids[rows]
        self.cache.keep(rows)


def _checked_prompt(model: Transformer, ids: Ids, name: str = "") -> np.ndarray:
    """The prompt as int64 (T,); UserError where it is empty, too long, or holds ids that the model does not have."""
    prompt = np.asarray(ids.cpu() if isinstance(ids, Tensor) else ids).astype(np.int64)
    if prompt.ndim != 1 or not len(prompt):
        raise UserError(f"{name}the prompt has shape {prompt.shape}; give at least one id, such as that of </s>")
    context, vocab_size = model.config.context, model.config.vocab_size
    if len(prompt) > context:
        raise UserError(f"{name}the prompt has {len(prompt)} tokens, the model's context is {context}; shorten it")
    if prompt.min() < 0 or prompt.max() >= vocab_size:
        raise UserError(
            f"{name}the prompt holds ids from {prompt.min()} to {prompt.max()}, the model knows 0 to {vocab_size - 1}; "
            "encode it with the run's own tokenizer"
        )
    return prompt


def _check_settings(max_new_tokens: int, temperature: float, top_k: int, top_p: float, seed: int) -> None:
    if max_new_tokens < 0:
        raise UserError(f"the number of new tokens is {max_new_tokens}; it must be 0 or more")
    if not 0.0 <= temperature < float("inf"):
        raise UserError(f"the temperature is {temperature}; it must be 0 (the most probable token) or above")
    if top_k < 0:
        raise UserError(f"top_k is {top_k}; it must be 1 or more, or 0 for all tokens")
    if not 0.0 < top_p <= 1.0:
        raise UserError(f"top_p is {top_p}; it must be above 0 and at most 1 (all tokens)")
    if seed < 0:
        raise UserError(f"the seed is {seed}; it must be 0 or more")


def _stop_set(stop: int | Collection[int]) -> frozenset[int]:
    return frozenset(map(int, (stop,) if isinstance(stop, int | np.integer) else stop))
