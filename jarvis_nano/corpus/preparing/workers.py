"""Processes that work on units: results in order, few waiting, Ctrl-C and death of one handled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

from jarvis_nano.errors import Resumable

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerDied(Resumable):
    """A process was ended from outside, most often for want of memory."""


class Workers:
    """`n` processes, each begun with start(*given); n = 1: this process itself.

    At most n + 1 tasks are under way, so that what they hold (chunks of input) stays in bounds.
    """

    def __init__(self, n: int, start: Callable[..., None], *given: Any) -> None:
        self._n = n
        self._pool: ProcessPoolExecutor | None = None
        if n == 1:
            start(*given)
            return
        # "spawn": a fork would take the progress display's thread's locks along.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(n, context, initializer=_begin, initargs=(start, given))

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """function of each task, in order. WorkerDied where a process was killed."""
        if self._pool is None:
            yield from map(function, tasks)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(self._submit(self._pool, function, task))
                if len(waiting) > self._n:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process was ended from outside, perhaps for want of memory: "
                "run the same command again to go on, with fewer --processes"
            ) from error

    @staticmethod
    def _submit(pool: ProcessPoolExecutor, function: Callable[[Task], Result], task: Task) -> Future[Result]:
        """The first call starts the processes: a Ctrl-C meanwhile is this process's alone, not theirs."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(function, task)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for process in multiprocessing.active_children():
                process.terminate()  # what they write is not taken as complete
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin(start: Callable[..., None], given: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the main process ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*given)


def _end_with_parent() -> None:
    """A killed main process would leave the others waiting for ever, or writing where the next one does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
