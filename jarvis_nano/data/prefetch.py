"""The next step's batch, made by a thread while this step is computed. What a batch holds is batches.py's matter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from jarvis_nano.data.batches import Batch


class Prefetcher:
    """Batches asked for step by step, each made while the one before it is in use.

    A batch is a function of its step, so this changes the waiting and nothing else: the step after the last one asked
    for is there already, any other is made on the spot. With `pin` it lies in page-locked memory, which a GPU reads
    while the host goes on. What `make` raises comes out of `batch` with its traceback. Close it, or use it in `with`.
    """

    def __init__(self, make: Callable[[int], Batch], *, n_steps: int, pin: bool) -> None:
        self._make, self._n_steps, self._pin = make, n_steps, pin
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of `step`; the making of the next one begins, if there is one."""
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = step, self._pool.submit(self._prepare, step)
        batch = self._ahead[1].result()
        following = step + 1
        self._ahead = (following, self._pool.submit(self._prepare, following)) if following < self._n_steps else None
        return batch

    def _prepare(self, step: int) -> Batch:
        ids, targets, document = batch = self._make(step)
        if not self._pin:
            return batch
        return Batch(ids.pin_memory(), targets.pin_memory(), None if document is None else document.pin_memory())

    def close(self) -> None:
        """End the thread; a batch that it is making is finished and dropped."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
