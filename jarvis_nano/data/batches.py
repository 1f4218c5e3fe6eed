"""Ids to batches. A batch is a function of (seed, step) alone: no state to save, the same for any number of ranks."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from jarvis_nano.data.shards import Shards
from jarvis_nano.errors import UserError

NO_TARGET = -100
PAD = 1  # the id of <pad>


class Batch(NamedTuple):
    """What one step takes in: targets[b, t] is the id that follows ids[b, t], or -100 where nothing is learnt."""

    ids: Tensor
    """(B, T) int64"""
    targets: Tensor
    """(B, T) int64"""
    document: Tensor | None = None
    """(B, T) int32: positions attend to their own document only; None: to all of the past"""


class SftExample(NamedTuple):
    """One conversation: its ids, and which of them the model must learn to say."""

    ids: np.ndarray
    loss_mask: np.ndarray


class TokenBatches:
    """Windows of `context` ids over the whole stream, document borders disregarded, in a shuffled order.

    Every epoch cuts the stream elsewhere and takes each window once; the stream is a ring, so that every epoch has
    len(shards) // context windows, and the last window may run on into the first document.
    UserError where the shards hold fewer windows than a batch.
    """

    def __init__(self, shards: Shards, *, batch_size: int, context: int, seed: int) -> None:
        _require_seed(seed)
        self.shards, self.batch_size, self.context, self.seed = shards, batch_size, context, seed
        self.n_windows = len(shards) // context
        if self.n_windows < batch_size:
            raise UserError(
                f"{shards.folder} has {len(shards):,} {shards.split} tokens, but a batch of {batch_size} × {context} "
                f"needs {batch_size * context:,}; add text, or make the batch or the context smaller"
            )

    @property
    def steps_per_epoch(self) -> float:
        return self.n_windows / self.batch_size

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Rows [rank, rank + 1) × batch_size / world of the global batch of a step."""
        rows = _rows(step, self.batch_size, rank, world)
        windows = np.stack([self.shards.read(start, self.context + 1) for start in self._starts(rows)])
        return _shifted(windows)

    def _starts(self, rows: np.ndarray) -> Iterator[int]:
        """Where the windows of these rows begin; a batch may lie across two epochs."""
        epochs, places = np.divmod(rows, self.n_windows)
        for epoch in np.unique(epochs):
            keys = np.random.SeedSequence([self.seed, int(epoch)]).generate_state(_ROUNDS + 1, np.uint64)
            offset = int(keys[_ROUNDS]) % self.context
            for place in permuted(places[epochs == epoch], self.n_windows, keys):
                yield offset + int(place) * self.context


_ROUNDS = 4


def permuted(places: np.ndarray, n: int, keys: np.ndarray) -> np.ndarray:
    """Where a shuffle of range(n) puts these places, without the shuffle in memory: a Feistel network, walked on.

    Luby and Rackoff (1988): 4 rounds of any function of one half make a permutation that passes for a random one.
    Results past n are sent through again until they fall below it, which keeps it one to one (Black and Rogaway 2002).
    """
    half = max(1, -(-(n - 1).bit_length() // 2))  # bits; the network permutes range(4**half), at most 4 n
    out = places.astype(np.uint64)
    walking = np.ones(len(out), dtype=bool)
    while walking.any():
        out[walking] = _feistel(out[walking], half, keys)
        walking = out >= n
    return out.astype(np.int64)


def _feistel(x: np.ndarray, half: int, keys: np.ndarray) -> np.ndarray:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = x >> bits, x & mask
    for key in keys[:_ROUNDS]:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return (left << bits) | right


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): every bit in moves every bit out."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _require_seed(seed: int) -> None:
    if seed < 0:
        raise UserError(f"the seed is {seed}; expected 0 or more")


def _rows(step: int, batch_size: int, rank: int, world: int) -> np.ndarray:
    """The numbers of a rank's rows, counted from the first row of step 0."""
    if batch_size % world:
        raise UserError(f"a batch of {batch_size} rows does not divide among {world} processes; choose a multiple")
    share = batch_size // world
    first = step * batch_size + rank * share
    return np.arange(first, first + share)


def _shifted(windows: np.ndarray) -> Batch:
    """(B, T + 1) ids -> inputs and the targets one further."""
    return Batch(torch.from_numpy(windows[:, :-1].copy()), torch.from_numpy(windows[:, 1:].copy()))


class EvaluationWindows(Sequence[Batch]):
    """All of a split as batches in which every id of text is a target exactly once; a slice is again a sequence.

    The stream starts with a `</s>`, as sampling does, so the first id is predicted too. `</s>` itself is no target:
    it is no text, and the loss over these batches divided by `n_bytes` is exact. By default the windows follow each
    other; with a stride, they overlap: every id past the first `context` sees at least context - stride ids before
    it, at context / stride times the cost. What is left of the last window is padding.
    """

    def __init__(self, shards: Shards, *, batch_size: int, context: int, stride: int | None = None) -> None:
        stride = context if stride is None else stride
        if not 0 < stride <= context:
            raise UserError(f"the stride is {stride}; expected 1 to {context}, the context")
        self.shards, self.batch_size, self.context, self.stride = shards, batch_size, context, stride
        beyond = max(0, len(shards) - context)  # what the first window leaves
        self.n_windows = 1 + -(-beyond // stride) if len(shards) else 0
        self._batches = range(-(-self.n_windows // batch_size))

    @property
    def n_tokens(self) -> int:
        """Targets in all windows: the ids of text."""
        return len(self.shards) - self.shards.n_documents

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of that text."""
        return self.shards.text_bytes

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(index, slice):
            part = EvaluationWindows(self.shards, batch_size=self.batch_size, context=self.context, stride=self.stride)
            part._batches = self._batches[index]
            return part
        first = self._batches[index] * self.batch_size
        return self._batch(range(first, min(first + self.batch_size, self.n_windows)))

    def _batch(self, windows: range) -> Batch:
        shape = (len(windows), self.context)
        end = self.shards.end_id
        ids, targets = np.full(shape, end, dtype=np.int64), np.full(shape, NO_TARGET, dtype=np.int64)
        for row, window in enumerate(windows):
            start = window * self.stride
            length = min(self.context, len(self.shards) - start)
            if start:
                ids[row, :length] = self.shards.read(start - 1, length)
            else:
                ids[row, 1:length] = self.shards.read(0, length - 1)
            seen = self.context - self.stride if window else 0
            targets[row, seen:length] = self.shards.read(start + seen, length - seen)
        targets[targets == end] = NO_TARGET
        return Batch(torch.from_numpy(ids), torch.from_numpy(targets))


class ExampleBatches:
    """Conversations packed into rows of `context`, best fit first, kept apart by their document ids.

    An example of n ids takes n - 1 places: its last id is a target only. One with more than `context` places loses its
    beginning, for the answer stands at the end; `n_cut` counts those. One without anything to learn is left out and
    counted in `n_empty`. The rows are made once; every epoch takes each once, in another order.
    """

    def __init__(self, examples: Sequence[tuple[np.ndarray, np.ndarray]], *, batch_size: int, context: int, seed: int):
        _require_seed(seed)
        self.batch_size, self.context, self.seed = batch_size, context, seed
        fitting = [_fitted(SftExample(*example), context) for example in examples]
        self.examples = [example for example in fitting if example.loss_mask[1:].any()]
        self.n_cut = sum(len(ids) > context + 1 for ids, _ in examples)
        self.n_empty = len(fitting) - len(self.examples)
        if not self.examples:
            raise UserError(
                f"nothing to learn in {len(fitting)} examples: none has an answer within {context} tokens; "
                "check the file, or give a longer context"
            )
        self.rows = pack([len(example.ids) - 1 for example in self.examples], context, seed)

    @property
    def steps_per_epoch(self) -> float:
        return len(self.rows) / self.batch_size

    @property
    def n_tokens(self) -> int:
        """Targets in all rows."""
        return int(sum(np.count_nonzero(example.loss_mask[1:]) for example in self.examples))

    @property
    def fill(self) -> float:
        """The part of the rows that is not padding."""
        return sum(len(example.ids) - 1 for example in self.examples) / (len(self.rows) * self.context)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Rows [rank, rank + 1) × batch_size / world of the global batch of a step."""
        epochs, places = np.divmod(_rows(step, self.batch_size, rank, world), len(self.rows))
        chosen = [self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        return self._laid_out(np.concatenate(chosen).tolist())

    def in_order(self) -> list[Batch]:
        """Every row once, for evaluation."""
        numbers = range(len(self.rows))
        return [self._laid_out(numbers[i : i + self.batch_size]) for i in range(0, len(numbers), self.batch_size)]

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))

    def _laid_out(self, numbers: Sequence[int]) -> Batch:
        shape = (len(numbers), self.context)
        ids, targets = np.full(shape, PAD, dtype=np.int64), np.full(shape, NO_TARGET, dtype=np.int64)
        document = np.zeros(shape, dtype=np.int32)
        for row, number in enumerate(numbers):
            at = 0
            for place, i in enumerate(self.rows[number]):
                example = self.examples[i]
                here = slice(at, at + len(example.ids) - 1)
                ids[row, here] = example.ids[:-1]
                targets[row, here] = np.where(example.loss_mask[1:], example.ids[1:].astype(np.int64), NO_TARGET)
                document[row, here] = place
                at = here.stop
            document[row, at:] = len(self.rows[number])  # the padding is a document of its own
        return Batch(torch.from_numpy(ids), torch.from_numpy(targets), torch.from_numpy(document))


def _fitted(example: SftExample, context: int) -> SftExample:
    ids, mask = np.asarray(example.ids), np.asarray(example.loss_mask, dtype=bool)
    if ids.shape != mask.shape or ids.ndim != 1:
        raise ValueError(f"an example has ids of shape {ids.shape} and a loss mask of shape {mask.shape}")
    return SftExample(ids[-(context + 1) :], mask[-(context + 1) :])


def pack(lengths: Sequence[int], context: int, seed: int) -> list[list[int]]:
    """Best fit decreasing: each example, longest first, goes where it leaves the least room. Indices by row.

    At most 11/9 of the fewest rows possible, plus one (Johnson 1974). Equal lengths come in an order drawn by `seed`.
    """
    shuffled = np.random.default_rng(seed).permutation(len(lengths))
    order = sorted(shuffled.tolist(), key=lambda i: -lengths[i])
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (places left, row), sorted
    for i in order:
        found = bisect_left(room, (lengths[i], -1))
        if found < len(room):
            left, row = room.pop(found)
        else:
            left, row = context, len(rows)
            rows.append([])
        rows[row].append(i)
        if left > lengths[i]:
            insort(room, (left - lengths[i], row))
    return rows
