"""The processes of one training: one alone, or those that torchrun started.

Tensors on GPUs travel by NCCL, those on the host by gloo: what the host wants to know waits for no GPU.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from jarvis_nano.errors import UserError

WAIT = timedelta(hours=6)  # the others wait while rank 0 prepares a corpus


@dataclass(frozen=True)
class World:
    """Where this process stands."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        if self.size > 1:
            dist.all_reduce(torch.zeros(1))  # on the host

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place; it travels from where it lies."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def share(self, text: str) -> str:
        """Rank 0's text, on every rank."""
        if self.size == 1:
            return text
        box = [text]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return str(box[0])


class OwnGradient:
    """What a process's own gradient measures, before it is averaged with the others': ‖g‖², while it listens."""

    def __init__(self) -> None:
        self._listening, self._square = False, torch.zeros(())

    def start(self, *, listening: bool) -> None:
        self._listening, self._square = listening, torch.zeros(())

    def add(self, gradient: Tensor) -> None:
        if self._listening:
            self._square = self._square.to(gradient.device) + gradient.norm().square()

    def square(self) -> Tensor:
        return self._square


def average_gradients(own, bucket):  # type: ignore[no-untyped-def]  # DDP refuses annotations that are strings
    """DDP's own way of averaging a bucket (dist.GradBucket) of gradients, after a look at this process's."""
    own.add(bucket.buffer())
    return allreduce_hook(cast(dist.ProcessGroup, dist.group.WORLD), bucket)


def choose_device(device: str) -> torch.device:
    """cpu, cuda, cuda:1, or auto: the GPU if there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"--device {device} is not a device; use cpu, cuda, cuda:1 or auto") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda: this torch sees no GPU (nvidia-smi shows whether the driver does); use --device cpu"
        )
    return chosen


@contextlib.contextmanager
def join(device: str, threads: int) -> Iterator[World]:
    """Join the processes that torchrun started, or be alone; leave them in an orderly way at the end."""
    if threads < 0:
        raise UserError(f"--threads is {threads}; it must be at least 1, or 0 for all cores")
    if "RANK" not in os.environ:
        torch.set_num_threads(threads or os.cpu_count() or 1)
        yield World(0, 1, choose_device(device))
        return
    rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    chosen = choose_device(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    # torchrun sets OMP_NUM_THREADS=1: share the cores among the processes of this machine instead.
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // local_size))
    dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo", timeout=WAIT)
    try:
        yield World(rank, size, chosen)
    finally:
        dist.destroy_process_group()
