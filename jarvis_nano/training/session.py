"""One training from its run folder to its end: model, recorder, TensorBoard, trainer. Tuning shares it."""

from __future__ import annotations

import contextlib
import json
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jarvis_nano import runs
from jarvis_nano.data.batches import Batch
from jarvis_nano.evaluation.perplexity import HeldOut
from jarvis_nano.kernels.backends import instruction_set, missing_ops
from jarvis_nano.model import Transformer
from jarvis_nano.observe import hparams
from jarvis_nano.observe.categories import frequency_deciles
from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.progress import TrainingDisplay, measure_peak_flops
from jarvis_nano.observe.tensorboard import TensorBoard, launch
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.training import checkpoint
from jarvis_nano.training.distributed import World
from jarvis_nano.training.loop import BatchSource, Trainer, Validation
from jarvis_nano.training.observation import Observation, ObserveConfig, cut_back, show_embeddings, token_counts
from jarvis_nano.training.recorder import Recorder

COUNTED_TOKENS = 400_000


@contextlib.contextmanager
def started(run: Path, world: World) -> Iterator[None]:
    """Around a start: where it fails, the folder that was taken for the run is given up again if nothing is in it."""
    try:
        yield
    except BaseException:
        if world.is_first:
            runs.give_up(run)
        raise


def train_run(
    run: Path,
    config: runs.RunConfig,
    tokenizer: Tokenizer,
    batches: BatchSource,
    validation: Validation,
    world: World,
    *,
    prompts: Sequence[Sequence[int]],
    resume: bool,
    observe: ObserveConfig,
    tensorboard: bool,
    passages: Sequence[np.ndarray] = (),
    weights: dict[str, Tensor] | None = None,
) -> HeldOut | None:
    """Start the run (or, with resume, go on with it) and train to the end; None if it was at its end already.

    `weights` start a tuning; without them the model starts from random ones, drawn from the seed. `passages`: held-out
    ids for the microscope.
    """
    torch.manual_seed(config.train.seed)
    model = Transformer(config.model)
    if weights is not None:
        runs.load_weights(model, weights, Path(config.tuned_from))
    sample = _sample(batches, config) if observe.on else []
    counts = token_counts(sample, config.model.vocab_size) if observe.on else None
    deciles = None if counts is None else torch.from_numpy(frequency_deciles(counts))
    profiled = observe.profile if world.is_first else 0
    trainer = Trainer(
        run, model, config.train, batches, validation, world, deciles=deciles, profile_steps=profiled
    )
    if resume and runs.checkpoints(run):
        trainer.resume()
    if trainer.step >= config.train.steps:
        return None
    if world.is_first:
        tokenizer.save(run / "tokenizer")
        checkpoint.write_config(run, config)
        checkpoint.write_text(run / "machine.json", json.dumps(machine(world), indent=1))
        if observe.on and tensorboard:
            show_embeddings(run, model, tokenizer)
    world.barrier()
    if not world.is_first:
        return trainer.train(None)
    dtype = torch.bfloat16 if world.device.type == "cuda" else torch.float32
    peak = measure_peak_flops(world.device, dtype) * world.size
    with (
        _served(run.parent, tensorboard) as server,
        Metrics(run, tensorboard=tensorboard, lang=observe.lang) as metrics,
        TrainingDisplay(config.train.steps, trainer.step) as display,
    ):
        metrics.truncate(trainer.step or -1)
        cut_back(run, trainer.step or -1, observe.lang)
        metrics.hyperparameters(hparams.flattened(config))
        processes = f"{world.size} processes" if world.size > 1 else "1 process"
        display.note(f"{run}: {model.n_parameters / 1e6:.2f} M weights, {processes} on {world.device.type}")
        if server:
            threading.Thread(target=_announce, args=(server, display), daemon=True).start()
        observation: Observation | None = None
        if counts is not None:
            observation = Observation(
                run,
                metrics,
                display,
                config.train,
                model,
                tokenizer,
                settings=observe,
                start_step=trainer.step,
                counts=counts,
                rows=sample[0],
                passages=passages,
                judge_grammar=not config.tuned_from,
            )
            display.note(f"what it shows of itself: python scripts/report.py {run}")
        recorder = Recorder(
            metrics, display, config.train, model, tokenizer, peak_flops=peak, observation=observation, prompts=prompts
        )
        with contextlib.closing(observation) if observation else contextlib.nullcontext():
            result = trainer.train(recorder)
        metrics.finished()
        return result


def _sample(batches: BatchSource, config: runs.RunConfig) -> list[Batch]:
    """The first batches of the training, until they have enough tokens to tell the common ones from the rare."""
    n = max(1, COUNTED_TOKENS // (config.train.batch_size * config.model.context))
    return [batches.batch(step) for step in range(min(n, config.train.steps))]


def machine(world: World) -> dict[str, str | int]:
    """What a run was made on, for its report."""
    found: dict[str, str | int] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processes": world.size,
        "threads": torch.get_num_threads(),
    }
    if world.device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(world.device)
    else:
        found["instructions"] = "no compiled kernels" if missing_ops() else instruction_set()
    return found


@contextlib.contextmanager
def _served(folder: Path, wanted: bool) -> Iterator[TensorBoard | None]:
    """TensorBoard over all runs of the folder while the block runs."""
    server = launch(folder) if wanted else None
    try:
        yield server
    finally:
        if server:
            server.close()


def _announce(server: TensorBoard, display: TrainingDisplay) -> None:
    """In a thread of its own: TensorBoard takes seconds to start."""
    text = f"TensorBoard: {server.url}" if server.url else server.problem
    if text:  # neither where the run ended first
        display.note(text)
