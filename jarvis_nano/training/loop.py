"""The training loop, the same for pretraining and tuning: batches in, checkpoints and metrics out.

A step depends on the weights, the optimizer's state and its own number alone: batches and dropout are functions of
(seed, step), so a resumed run goes on exactly as the uninterrupted one would have. On a GPU the host runs ahead of
the device: within a step nothing waits for it, the recorder does when a line of metrics is due.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from jarvis_nano.config import TrainConfig
from jarvis_nano.data.batches import NO_TARGET, Batch
from jarvis_nano.data.prefetch import Prefetcher
from jarvis_nano.errors import UserError
from jarvis_nano.evaluation.perplexity import HeldOut, evaluate
from jarvis_nano.model import Transformer
from jarvis_nano.observe.profiling import StepProfiler
from jarvis_nano.training import checkpoint, optimizer, schedule
from jarvis_nano.training.distributed import OwnGradient, World, average_gradients
from jarvis_nano.training.objective import Objective, compiled
from jarvis_nano.training.recorder import Recorder, StepTotals, line_is_due

SEED_STRIDE = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: the steps of two seeds do not overlap


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; a checkpoint was written."""


class BatchSource(Protocol):
    """Data as a pure function of the step, so that a resumed run sees what it would have seen."""

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """This rank's rows of a step's global batch."""


@dataclass(frozen=True)
class Validation:
    """Held-out text, as batches that take each token once."""

    batches: Sequence[Batch]
    n_tokens: int
    """Counted targets in all of them."""
    n_bytes: int = 0
    """UTF-8 bytes of the text; 0 where bits per byte mean nothing (instructions)."""

    def bits_per_byte(self, result: HeldOut) -> float | None:
        """Exact over all the text; over a part, its bytes are taken as its share of the tokens."""
        if not self.n_bytes or not result.tokens:
            return None
        return result.bits_per_byte(1) / (self.n_bytes * result.tokens / self.n_tokens)


class Trainer:
    """One training of one model; every process of it makes one."""

    def __init__(
        self,
        run: Path,
        model: Transformer,
        config: TrainConfig,
        batches: BatchSource,
        validation: Validation,
        world: World,
        *,
        deciles: Tensor | None = None,
        profile_steps: int = 0,
    ) -> None:
        """deciles (V): each id's decile of frequency; with them the steps are measured more closely (--observe on).
        profile_steps: how many to trace near the start."""
        if config.batch_size % world.size:
            raise UserError(
                f"batch_size {config.batch_size} is not a multiple of the {world.size} processes; "
                f"pass --batch-size {-(-config.batch_size // world.size) * world.size}"
            )
        self.run, self.config, self.batches, self.validation = run, config, batches, validation
        self.world, self.profile_steps = world, profile_steps
        self.recorder: Recorder | None = None
        self.model = model.to(world.device)
        self.is_compiled = config.compile == "on" or (config.compile == "auto" and world.device.type == "cuda")
        # Training alone sees the compiled one: evaluation, samples and checkpoints use self.model, under its own names.
        objective = Objective(self.model, config.z_loss, deciles)
        self.is_measured = deciles is not None
        self.replica: nn.Module = compiled(objective) if self.is_compiled else objective
        self.own_gradient = OwnGradient()
        if world.size > 1:
            replica = nn.parallel.DistributedDataParallel(self.replica)
            replica.register_comm_hook(self.own_gradient, average_gradients)
            self.replica = replica
        self.upcoming = Prefetcher(self._own_rows, n_steps=config.steps, pin=world.device.type == "cuda")
        self.optimizers = optimizer.build(model, config)
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        self.step = 0
        self.eval_loss: float | None = None

    def resume(self) -> None:
        """Take weights, optimizer state and step from the run's latest checkpoint."""
        state, saved = checkpoint.restore(self.run, self.model)
        checkpoint.restore_optimizers(self.optimizers, self.names, saved)
        self.step, self.eval_loss = state["step"], state["eval_loss"]

    def train(self, recorder: Recorder | None) -> HeldOut:
        """Run the steps that are left; return the validation of all held-out text at the end.

        `recorder` is rank 0's; the other ranks have None.

        Raises Diverged when the loss is not finite (the checkpoints stay as they are) and Interrupted on Ctrl-C or
        SIGTERM, after writing a checkpoint.
        """
        self.recorder = recorder
        self.model.train()
        with self.upcoming:
            if self.is_compiled:
                self._compile()
            return self._train()

    def _train(self) -> HeldOut:
        config = self.config
        if self.recorder and not self.step:
            self.recorder.untrained()
        with stop_signals() as stop, StepProfiler(self.run, self.profile_steps) as profiler:
            while self.step < config.steps:
                started = time.perf_counter()
                totals = self._step(stop.requested)
                self.step += 1
                last = self.step == config.steps
                profiler.step(self.step)
                if self.recorder:
                    self.recorder.step(self.step, totals, started)
                if totals.stop and not last:
                    self._save()
                    raise Interrupted(f"stopped after step {self.step}; go on with --run {self.run} --resume")
                if self.step % config.eval_every == 0 and not last:
                    self._validate(config.eval_batches)
                if self.step % config.save_every == 0 and not last:
                    self._save()
                if self.recorder and self.step % config.sample_every == 0 and not last:
                    self.recorder.samples(self.step, self.model)
            result = self._validate(len(self.validation.batches))
            self._save()
            if self.recorder:
                self.recorder.samples(self.step, self.model)
        return result

    def _own_rows(self, step: int) -> Batch:
        return self.batches.batch(step, self.world.rank, self.world.size)

    def _compile(self) -> None:
        """One forward and backward of every shape that a step has, so that no step's seconds hold a compilation."""
        if self.recorder:
            self.recorder.display.note("compiling the model: about a minute; --compile off does without")
        began = time.perf_counter()
        pieces = micro_batches(self.upcoming.batch(self.step), self.config.micro_batch_size)
        for piece in {piece.ids.shape: piece for piece in pieces}.values():
            with self._accumulate(last=False):
                self._backward(piece, 1.0)
        self.model.zero_grad()
        if self.recorder:
            self.recorder.display.note(f"compiled in {time.perf_counter() - began:.0f} s")

    def _step(self, stop_requested: bool) -> StepTotals:
        """One optimizer step over this rank's rows of the global batch."""
        config, world = self.config, self.world
        batch = self.upcoming.batch(self.step)
        torch.manual_seed(
            (config.seed * SEED_STRIDE + self.step * world.size + world.rank) % (1 << 63)
        )  # dropout: from the step alone
        n_own = np.count_nonzero(batch.targets.numpy() != NO_TARGET)  # batch and sum lie on the host
        n_tokens, stops = world.sum(torch.tensor([n_own, int(stop_requested)])).tolist()
        is_due = self.is_measured and line_is_due(self.step + 1, config)
        sums: Tensor | None = None
        small: Tensor | None = None
        pieces = micro_batches(batch, config.micro_batch_size)
        for index, piece in enumerate(pieces):
            # DDP averages the gradients over processes; the loss is a sum over all tokens divided by their number.
            only = len(pieces) == 1
            self.own_gradient.start(listening=is_due and only)
            with self._accumulate(last=index == len(pieces) - 1):
                piece_sums = self._backward(piece, world.size / n_tokens)
            sums = piece_sums if sums is None else sums + piece_sums
            if is_due and index == 0 and (not only or world.size > 1):
                square = self.own_gradient.square() if only else self._gradient_square()
                small = self._mean_over_parts(square, piece, n_tokens)
        assert sums is not None
        rate = schedule.rate(self.step, config)
        gradient_norm, norms = self._update(rate, measure=is_due)
        return StepTotals(world.sum(sums), n_tokens, gradient_norm, rate, stops > 0, norms, small)

    def _gradient_square(self) -> Tensor:
        """‖g‖² of what .grad holds now."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        return torch.stack(torch._foreach_norm(gradients)).square().sum()

    def _mean_over_parts(self, square: Tensor, piece: Batch, n_tokens: int) -> Tensor:
        """(2,): ‖g‖² of a part's mean gradient, the mean over the processes, and its tokens, the harmonic mean, for the
        noise of a part goes with 1 / tokens.

        The loss of a part is its sum times processes / all tokens; over its own tokens it would be its mean.
        """
        world = self.world
        n_own = int(np.count_nonzero(piece.targets.numpy() != NO_TARGET))
        scale = n_tokens / world.size / max(1, n_own)
        share = 1 / n_own if n_own else math.inf  # without a token: a harmonic mean of 0, which NoiseScale refuses
        found = world.sum(torch.stack((square.double() * scale**2, square.new_tensor(share, dtype=torch.float64))))
        found /= world.size
        return torch.stack((found[0], 1 / found[1]))

    def _accumulate(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        if last or not isinstance(self.replica, nn.parallel.DistributedDataParallel):
            return contextlib.nullcontext()
        return self.replica.no_sync()

    def _backward(self, piece: Batch, weight: float) -> Tensor:
        device = self.world.device
        ids, targets = piece.ids.to(device, non_blocking=True), piece.targets.to(device, non_blocking=True)
        document = None if piece.document is None else piece.document.to(device, non_blocking=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            loss, sums = self.replica(ids, targets, document)
        (loss * weight).backward()
        return sums

    def _update(self, rate: float, *, measure: bool) -> tuple[Tensor, optimizer.Norms | None]:
        """Clip, step, clear; return the gradient's norm before clipping, and to measure the norms by parameter."""
        for one in self.optimizers:
            for group in one.param_groups:
                group["lr"] = group["peak_lr"] * rate
        found = optimizer.clip_and_step(self.optimizers, self.config.max_grad_norm or math.inf, measure=measure)
        for one in self.optimizers:
            one.zero_grad()
        return found

    def _validate(self, n_batches: int) -> HeldOut:
        """Each process takes its share of the first `n_batches`; all learn the sums."""
        world = self.world
        part = self.validation.batches[:n_batches][world.rank :: world.size]
        own = evaluate(self.model, part, by_id=self.is_measured)
        sums = torch.tensor([own.nats, own.tokens, own.hits], dtype=torch.float64, device=world.device)
        nats, tokens, hits = world.sum(sums).tolist()
        by_id = None if own.by_id is None else world.sum(own.by_id)  # on the host
        result = HeldOut(nats, int(tokens), hits, by_id)
        self.eval_loss = result.loss if tokens else None
        if self.recorder and tokens:
            self.recorder.validation(self.step, result, self.validation.bits_per_byte(result), self.model)
        return result

    def _save(self) -> None:
        if self.recorder:
            self.recorder.require_finite(self.step)
            state = {"eval_loss": self.eval_loss, "seed": self.config.seed, "commit": checkpoint.commit()}
            saved = checkpoint.optimizer_state(self.optimizers, self.names)
            checkpoint.save(self.run, self.model, saved, step=self.step, state=state, keep=self.config.keep)
            self.recorder.saved(self.step)
        self.world.barrier()


def micro_batches(batch: Batch, rows: int) -> list[Batch]:
    """The batch cut into pieces of at most `rows` rows; 0: one piece."""
    if not rows or rows >= batch.ids.shape[0]:
        return [batch]
    documents = batch.document.split(rows) if batch.document is not None else None
    return [
        Batch(ids, targets, documents[i] if documents else None)
        for i, (ids, targets) in enumerate(zip(batch.ids.split(rows), batch.targets.split(rows), strict=True))
    ]


class stop_signals:
    """Turns the first Ctrl-C or SIGTERM into a request, honoured after the step; a second one acts as usual."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> stop_signals:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, self._before[signal.Signals(number)])
