"""The prefetcher: the same batches, one step ahead, with the thread's exceptions in the caller's hands."""

from __future__ import annotations

import threading
import traceback

import pytest
import torch

from jarvis_nano.data.batches import Batch
from jarvis_nano.data.prefetch import Prefetcher


class Source:
    """Batches that hold their step; knows which were made, and by which thread."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.threads: set[int] = set()
        self.second = threading.Event()

    def batch(self, step: int) -> Batch:
        self.made.append(step)
        self.threads.add(threading.get_ident())
        if len(self.made) > 1:
            self.second.set()
        if step == 7:
            raise_here()
        ids = torch.full((2, 3), step)
        return Batch(ids, ids + 1, None if step % 2 else ids.int())


def raise_here() -> None:
    raise ValueError("a damaged shard")


def test_every_step_gets_its_own_batch_in_any_order():
    source = Source()
    with Prefetcher(source.batch, n_steps=20, pin=False) as batches:
        for step in (0, 1, 2, 5, 6, 3, 3, 19):
            batch = batches.batch(step)
            assert batch.ids[0, 0] == step
            assert (batch.document is None) == (step % 2 == 1)


def test_the_next_batch_is_made_before_it_is_asked_for_and_not_by_the_caller():
    source = Source()
    with Prefetcher(source.batch, n_steps=4, pin=False) as batches:
        batches.batch(2)
        assert source.second.wait(10)
        assert source.made == [2, 3]
        batches.batch(3)
    assert source.made == [2, 3], "each is made once, and none beyond the last step"
    assert threading.get_ident() not in source.threads


def test_an_exception_of_the_thread_comes_out_at_its_step_with_its_traceback():
    with Prefetcher(Source().batch, n_steps=20, pin=False) as batches:
        assert batches.batch(6).ids[0, 0] == 6
        with pytest.raises(ValueError, match="a damaged shard") as caught:
            batches.batch(7)
        assert "raise_here" in "".join(traceback.format_exception(caught.value))


def test_the_thread_ends_with_the_block_whatever_ends_it():
    before = threading.active_count()
    for error in (None, KeyboardInterrupt):
        try:
            with Prefetcher(Source().batch, n_steps=20, pin=False) as batches:
                batches.batch(0)
                assert threading.active_count() == before + 1
                if error:
                    raise error
        except KeyboardInterrupt:
            pass
        assert threading.active_count() == before


def test_pinned_batches_are_asked_for_as_such(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    with Prefetcher(Source().batch, n_steps=3, pin=True) as batches:
        batches.batch(2)
        batches.batch(1)
    assert [tensor[0, 0].item() for tensor in pinned[:5]] == [2, 3, 2, 1, 2], "ids, targets, and documents if any"
