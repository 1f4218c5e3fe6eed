"""Batches: from (seed, step) alone, the same for any number of ranks, every window once an epoch."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from byte_tokenizer import END_ID, ByteTokenizer, stories
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.data import batches
from jarvis_nano.data.batches import NO_TARGET, PAD, Batch, EvaluationWindows, ExampleBatches, TokenBatches
from jarvis_nano.data.shard_writer import write_shards
from jarvis_nano.data.shards import Shards
from jarvis_nano.errors import UserError

CONTEXT = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shards"
    write_shards(stories(60), ByteTokenizer(), folder, tokens_per_shard=3_000)
    return folder


@pytest.fixture(scope="module")
def shards(folder: Path) -> Shards:
    return Shards.open(folder)


class Positions:
    """Shards whose ids are their own places: a window shows where it was cut."""

    folder, split = Path("positions"), "train"

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def read(self, start: int, length: int) -> np.ndarray:
        return np.arange(start, start + length) % self.n


def same(a: Batch, b: Batch) -> bool:
    return all((x is None and y is None) or torch.equal(x, y) for x, y in zip(a, b, strict=True))


def joined(parts: list[Batch]) -> Batch:
    return Batch(*(None if column[0] is None else torch.cat(column) for column in zip(*parts, strict=True)))


def example(n_prompt: int, n_answer: int, first: int = 100) -> tuple[np.ndarray, np.ndarray]:
    ids = np.arange(first, first + n_prompt + n_answer)
    return ids, np.arange(len(ids)) >= n_prompt


def examples(n: int, longest: int = CONTEXT, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Examples of which no two share an id."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, longest + 2, n)
    firsts = 10 + np.cumsum(lengths) - lengths
    return [example(k := int(rng.integers(1, size)), int(size) - k, int(a)) for size, a in zip(lengths, firsts)]


def test_targets_are_the_ids_one_further(shards: Shards) -> None:
    batch = TokenBatches(shards, batch_size=4, context=CONTEXT, seed=0).batch(3)
    assert batch.ids.shape == batch.targets.shape == (4, CONTEXT)
    assert batch.ids.dtype == batch.targets.dtype == torch.int64
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    stream = shards.read(0, len(shards)).tobytes()
    for row in torch.cat([batch.ids, batch.targets[:, -1:]], dim=1).numpy():
        assert row.tobytes() in stream * 2


@pytest.mark.parametrize("world", [1, 2, 3, 4, 6, 12])
def test_the_global_batch_is_the_same_for_every_number_of_ranks(shards: Shards, world: int) -> None:
    for source in (
        TokenBatches(shards, batch_size=12, context=CONTEXT, seed=5),
        ExampleBatches(examples(50), batch_size=12, context=CONTEXT, seed=5),
    ):
        for step in (0, 1, 7, 1000):
            parts = [source.batch(step, rank, world) for rank in range(world)]
            assert same(joined(parts), source.batch(step))


def test_ranks_that_do_not_divide_the_batch_are_refused(shards: Shards) -> None:
    with pytest.raises(UserError, match="a batch of 4 rows does not divide among 3 processes"):
        TokenBatches(shards, batch_size=4, context=CONTEXT, seed=0).batch(0, 0, 3)


def test_a_resumed_source_goes_on_as_the_first_would_have(folder: Path) -> None:
    def fresh() -> TokenBatches:
        return TokenBatches(Shards.open(folder), batch_size=4, context=CONTEXT, seed=9)

    first, resumed = fresh(), fresh()
    seen = [first.batch(step) for step in range(200)]
    for step in (199, 137, 138, 0):
        assert same(resumed.batch(step), seen[step])


@settings(max_examples=60, deadline=None)
@given(n=st.integers(40, 2000), context=st.integers(1, 40), seed=st.integers(0, 2**32), epoch=st.integers(0, 50))
def test_an_epoch_takes_every_window_once(n: int, context: int, seed: int, epoch: int) -> None:
    source = TokenBatches(Positions(n), batch_size=1, context=context, seed=seed)  # type: ignore[arg-type]
    w = source.n_windows
    rows = np.arange(epoch * w, (epoch + 1) * w)
    targets = np.concatenate([(start + 1 + np.arange(context)) % n for start in source._starts(rows)])
    assert len(targets) == w * context > n - context
    assert len(np.unique(targets)) == len(targets)


def test_a_batch_across_epochs_takes_from_both() -> None:
    source = TokenBatches(Positions(70), batch_size=4, context=10, seed=3)  # type: ignore[arg-type]
    rows = torch.cat([source.batch(step).ids for step in range(7)])  # 28 rows are 4 epochs of 7
    for epoch in rows.split(7):
        assert len(epoch.unique()) == 70


def test_epochs_differ_in_order_and_in_cuts() -> None:
    source = TokenBatches(Positions(10_000), batch_size=100, context=100, seed=1)  # type: ignore[arg-type]
    starts = [source.batch(step).ids[:, 0] for step in range(6)]
    offsets = [int(start[0]) % 100 for start in starts]
    assert len(set(offsets)) >= 4
    orders = [((start - offset) % 10_000 // 100).tolist() for start, offset in zip(starts, offsets, strict=True)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert all(a != b for a, b in pairwise(orders))
    assert orders[0] != list(range(100))


def test_a_negative_seed_is_refused(shards: Shards) -> None:
    for make in (lambda: TokenBatches(shards, batch_size=4, context=CONTEXT, seed=-1),
                 lambda: ExampleBatches(examples(3), batch_size=1, context=CONTEXT, seed=-1)):  # fmt: skip
        with pytest.raises(UserError, match="the seed is -1; expected 0 or more"):
            make()


def test_seeds_differ() -> None:
    a, b = (TokenBatches(Positions(9999), batch_size=8, context=9, seed=s) for s in (0, 1))  # type: ignore[arg-type]
    assert not same(a.batch(0), b.batch(0))


def test_the_shuffle_has_no_trace_of_the_order() -> None:
    n = 5000
    for epoch in range(4):
        keys = np.random.SeedSequence([0, epoch]).generate_state(5, np.uint64)
        order = batches.permuted(np.arange(n), n, keys)
        assert np.array_equal(np.sort(order), np.arange(n))
        neighbours = np.corrcoef(order[:-1], order[1:])[0, 1]
        assert abs(neighbours) < 4 / np.sqrt(n)
        assert abs(np.corrcoef(np.arange(n), order)[0, 1]) < 4 / np.sqrt(n)
        assert np.bincount(order[:500] * 10 // n, minlength=10).min() > 20


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 255, 256, 257])
def test_the_shuffle_is_one_to_one_at_every_size(n: int) -> None:
    keys = np.random.SeedSequence(0).generate_state(5, np.uint64)
    assert sorted(batches.permuted(np.arange(n), n, keys).tolist()) == list(range(n))


def test_a_corpus_smaller_than_a_batch_says_how_much_is_missing(shards: Shards) -> None:
    with pytest.raises(UserError, match=rf"has {len(shards):,} train tokens, but a batch of 100 × 500 needs 50,000"):
        TokenBatches(shards, batch_size=100, context=500, seed=0)
    exact = TokenBatches(Positions(40), batch_size=4, context=10, seed=0)  # type: ignore[arg-type]
    assert len(exact.batch(0).ids.unique()) == 40
    with pytest.raises(UserError, match="has 39 train tokens"):
        TokenBatches(Positions(39), batch_size=4, context=10, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("stride", [None, 1, 7, 31, 32])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_validation_predicts_every_id_of_text_once(folder: Path, stride: int | None, batch_size: int) -> None:
    shards = Shards.open(folder, "val")
    windows = EvaluationWindows(shards, batch_size=batch_size, context=CONTEXT, stride=stride)
    predicted = [batch.targets[batch.targets != NO_TARGET] for batch in windows]
    stream = shards.read(0, len(shards))
    assert np.array_equal(torch.cat(predicted).numpy(), stream[stream != END_ID])
    assert windows.n_tokens == int((stream != END_ID).sum())
    assert windows.n_bytes == shards.text_bytes == windows.n_tokens  # the test's tokenizer has an id a byte


@pytest.mark.parametrize("stride", [None, 7])
def test_validation_inputs_are_what_comes_before(folder: Path, stride: int | None) -> None:
    shards = Shards.open(folder, "val")
    stream = np.concatenate([[END_ID], shards.read(0, len(shards))])
    rows = joined(list(EvaluationWindows(shards, batch_size=3, context=CONTEXT, stride=stride)))
    for row, (ids, targets) in enumerate(zip(rows.ids.numpy(), rows.targets.numpy(), strict=True)):
        start = row * (stride or CONTEXT)
        known = stream[start : start + CONTEXT]
        assert np.array_equal(ids[: min(len(known), len(stream) - 1 - start)], known[: len(stream) - 1 - start])
        at = np.flatnonzero(targets != NO_TARGET)
        assert np.array_equal(targets[at], stream[start + 1 + at])
        if row:
            assert at.min() >= CONTEXT - (stride or CONTEXT)


def test_validation_can_be_shared_out_and_cut(folder: Path) -> None:
    windows = EvaluationWindows(Shards.open(folder, "val"), batch_size=2, context=CONTEXT)
    everything = list(windows)
    assert len(windows) == len(everything) > 3
    for rank in range(3):
        mine = windows[:4][rank::3]
        assert len(mine) == len(list(mine))
        assert all(same(a, b) for a, b in zip(mine, everything[:4][rank::3], strict=True))
    assert same(windows[-1], everything[-1])
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_validation_of_nothing_and_of_little() -> None:
    class Few(Positions):
        end_id, text_bytes, n_documents = -1, 3, 0

    assert list(EvaluationWindows(Few(0), batch_size=2, context=8)) == []  # type: ignore[arg-type]
    (batch,) = EvaluationWindows(Few(3), batch_size=2, context=8)  # type: ignore[arg-type]
    assert batch.ids.tolist() == [[-1, 0, 1, -1, -1, -1, -1, -1]]
    assert batch.targets.tolist() == [[0, 1, 2] + [NO_TARGET] * 5]
    with pytest.raises(UserError, match="stride is 9; expected 1 to 8"):
        EvaluationWindows(Few(3), batch_size=2, context=8, stride=9)  # type: ignore[arg-type]


def test_one_example_by_hand() -> None:
    source = ExampleBatches([example(2, 3)], batch_size=1, context=6, seed=0)
    batch = source.batch(0)
    assert batch.ids.tolist() == [[100, 101, 102, 103, PAD, PAD]]
    assert batch.targets.tolist() == [[NO_TARGET, 102, 103, 104, NO_TARGET, NO_TARGET]]
    assert batch.document is not None
    assert batch.document.tolist() == [[0, 0, 0, 0, 1, 1]]
    assert batch.document.dtype == torch.int32
    assert batch.ids.dtype == batch.targets.dtype == torch.int64


def test_every_example_is_whole_in_one_row_and_no_target_crosses() -> None:
    given_examples = examples(300)
    source = ExampleBatches(given_examples, batch_size=7, context=CONTEXT, seed=2)
    found: dict[int, tuple[list[int], list[int]]] = {}
    for batch in source.in_order():
        assert batch.document is not None
        for ids, targets, document in zip(batch.ids, batch.targets, batch.document, strict=True):
            for number in document.unique():
                here = document == number
                if ids[here][0] == PAD:
                    assert (ids[here] == PAD).all()
                    assert (targets[here] == NO_TARGET).all()
                else:
                    found[int(ids[here][0])] = (ids[here].tolist(), targets[here].tolist())
    assert len(found) == 300
    for ids, mask in given_examples:
        inputs, targets = found[int(ids[0])]
        assert inputs == ids[:-1].tolist()
        assert targets == [int(i) if learnt else NO_TARGET for i, learnt in zip(ids[1:], mask[1:], strict=True)]


def test_an_epoch_of_examples_takes_every_row_once_in_another_order() -> None:
    source = ExampleBatches(examples(200), batch_size=1, context=CONTEXT, seed=2)
    n = len(source.rows)
    everything = joined(source.in_order())
    epochs = [joined([source.batch(step) for step in range(e * n, (e + 1) * n)]).ids for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == sorted(everything.ids.tolist())
    assert not torch.equal(epochs[0], epochs[1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(0, 9))
def test_packing_loses_nothing_and_keeps_to_the_bound(lengths: list[int], seed: int) -> None:
    rows = batches.pack(lengths, 50, seed)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    sizes = [sum(lengths[i] for i in row) for row in rows]
    assert max(sizes) <= 50
    assert len(rows) <= 11 / 9 * -(-sum(lengths) // 50) + sum(length > 25 for length in lengths) + 1
    assert all(a + b > 50 for i, a in enumerate(sizes) for b in sizes[:i])  # no two rows would fit into one


def test_packing_fills_the_rows() -> None:
    source = ExampleBatches(examples(2000, longest=200), batch_size=8, context=512, seed=0)
    assert source.fill > 0.98


def test_too_long_an_example_keeps_its_answer_and_is_counted() -> None:
    source = ExampleBatches([example(50, 4), example(2, 5, first=10)], batch_size=1, context=16, seed=0)
    assert source.n_cut == 1
    assert source.n_tokens == 9
    targets = joined(source.in_order()).targets
    assert sorted(targets[targets != NO_TARGET].tolist()) == [12, 13, 14, 15, 16, 150, 151, 152, 153]
    assert ExampleBatches([example(13, 4)], batch_size=1, context=16, seed=0).n_cut == 0


def test_examples_with_nothing_to_learn_are_left_out_and_counted() -> None:
    source = ExampleBatches([example(5, 0), example(2, 2), example(0, 1)], batch_size=1, context=16, seed=0)
    assert source.n_empty == 2
    assert len(source.examples) == 1
    for nothing in ([], [example(5, 0)]):
        with pytest.raises(UserError, match=f"nothing to learn in {len(nothing)} examples"):
            ExampleBatches(nothing, batch_size=1, context=16, seed=0)


def test_a_small_file_gives_batches_larger_than_itself() -> None:
    source = ExampleBatches([example(2, 2), example(2, 2, first=10)], batch_size=8, context=4, seed=0)
    assert source.batch(0).ids.shape == (8, 4)
    assert sorted(source.batch(0).ids[:, 0].tolist()) == [10] * 4 + [100] * 4
