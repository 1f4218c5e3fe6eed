"""Pretraining from random weights: what scripts/pretrain.py runs."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from jarvis_nano import runs
from jarvis_nano.config import PRESETS, ModelConfig, TrainConfig
from jarvis_nano.data.batches import EvaluationWindows, TokenBatches
from jarvis_nano.data.shards import Shards
from jarvis_nano.errors import UserError
from jarvis_nano.evaluation.perplexity import HeldOut
from jarvis_nano.observe.microscope import choose_passages
from jarvis_nano.observe.tags import Lang
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.training import distributed
from jarvis_nano.training.allocator import keep_freed_memory
from jarvis_nano.training.loop import Validation
from jarvis_nano.training.observation import ObserveConfig
from jarvis_nano.training.prepare import prepare, source_folder
from jarvis_nano.training.session import started, train_run

DEFAULT_PRESET = "nano"
PASSAGE = 96  # tokens of each text under the microscope


@dataclass(frozen=True)
class Pretrain:
    """Pretrain a model from random weights: pretrain.py [PRESET] [FLAGS].

    Presets: nano (the default: two CPU cores, minutes), mini, small (GPT-2's 124 M), medium; docs/model.md shows them.
    Example: python scripts/pretrain.py nano --data books/ --run books --steps 3000
    With torchrun and flags: torchrun --nproc_per_node=2 -- scripts/pretrain.py --run books
    """

    run: str = ""
    """Name under runs/ (or $JARVIS_NANO_RUNS), or a folder; default: <preset>-<n>."""
    data: tuple[str, ...] = ()
    """Texts in any format of docs/sources.md, packed or not, folders of them; default: the built-in French corpus."""
    tokenizer: str = ""
    """Folder of a tokenizer; default: one of vocab_size is trained on the data."""
    resume: bool = False
    """Go on from the run's latest checkpoint; with no checkpoint yet, start; if finished, do nothing."""
    observe: Literal["on", "off"] = "on"
    """off: only the losses and rates; no looks inside, no pages, no text samples."""
    lang: Lang = "fr"
    """Language of the pages, charts and the diagnosis: fr or en."""
    profile: int = 0
    """Trace so many steps, for https://ui.perfetto.dev: where the time goes."""
    hessian: bool = False
    """Also measure the largest eigenvalue of the loss's Hessian at each validation (20 gradients of a few rows)."""
    tensorboard: bool = True
    """Write TensorBoard files and serve them on localhost while training."""
    device: str = "auto"
    """cpu, cuda, cuda:1 or auto."""
    threads: int = 0
    """Threads of each process; 0: all cores, shared among the processes."""
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def defaults(preset: str) -> Pretrain:
    """The settings of a preset; UserError naming the presets if it is unknown."""
    if preset not in PRESETS:
        close = difflib.get_close_matches(preset, PRESETS, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"there is no preset {preset!r}{meant} Presets: {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    return Pretrain(model=chosen.model, train=chosen.train)


def starting_point(preset: str, run: str, resume: bool) -> Pretrain:
    """What the flags start from: the preset's settings, or with --resume those that the run was started with."""
    start = defaults(preset or DEFAULT_PRESET)
    if not resume:
        return start
    folder = runs.location(run) if run else runs.newest(tuned=False)
    if not (folder / "config.json").is_file():
        return dataclasses.replace(start, run=run)  # interrupted before its first step: start it
    config = runs.read_config(folder)
    if preset and preset != config.preset:
        raise UserError(f"{folder} was started with the preset {config.preset}; --resume cannot change it to {preset}")
    if config.tuned_from:
        raise UserError(
            f"{folder} is a tuned run; go on with: "
            f"python scripts/finetune.py {config.tuned_from} --run {folder} --resume"
        )
    return Pretrain(run=str(folder), model=config.model, train=config.train)


def pretrain(settings: Pretrain, preset: str) -> None:
    """Train to the last step and, on rank 0, print what came out of it."""
    keep_freed_memory()
    with distributed.join(settings.device, settings.threads) as world:
        run = Path(world.share(str(_choose_run(settings, preset)) if world.is_first else ""))
        with started(run, world):
            going_on = settings.resume and (run / "config.json").is_file()
            if going_on:
                config = _merge(runs.read_config(run), settings, run)
                tokenizer_folder = run / "tokenizer"
            else:
                folders = ""
                if world.is_first:
                    prepared = prepare(settings.data, settings.tokenizer, settings.model.vocab_size)
                    folders = f"{prepared.tokenizer}\n{prepared.shards}"
                tokenizer_folder, shards_folder = (Path(name) for name in world.share(folders).split("\n"))
                config = runs.RunConfig(
                    preset or DEFAULT_PRESET, settings.model, settings.train, "", str(shards_folder.resolve())
                )
            tokenizer = Tokenizer.load(tokenizer_folder)
            if not going_on:
                model = dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size)
                config = dataclasses.replace(config, model=model, tokenizer_hash=tokenizer.hash)
            batches, validation, passages = _batches(config, tokenizer)
            texts = [[tokenizer.special_id("</s>"), *tokenizer.encode_list(t)] for t in config.train.sample_prompts]
            prompts = [ids for ids in texts if len(ids) < config.model.context]
            result = train_run(
                run,
                config,
                tokenizer,
                batches,
                validation,
                world,
                prompts=prompts,
                resume=going_on,
                observe=ObserveConfig(settings.observe == "on", settings.lang, settings.profile, settings.hessian),
                tensorboard=settings.tensorboard,
                passages=passages,
            )
            if world.is_first:
                print(_summary(run, result, validation))


def _summary(run: Path, result: HeldOut | None, validation: Validation) -> str:
    if result is None:
        return f"{run} is finished already; give it more --steps to go on"
    bits = validation.bits_per_byte(result)
    if bits is None:
        figures = "no held-out text to judge by (one document, or all alike)"
    else:
        figures = (
            f"{bits:.3f} bits per byte on {validation.n_bytes:,} held-out bytes "
            f"(loss {result.loss:.3f}, perplexity {result.perplexity:.1f})"
        )
    return f'{run}: {figures}; next: python scripts/sample.py {run} "Il était une fois"'


def _choose_run(settings: Pretrain, preset: str) -> Path:
    if not settings.run:
        return runs.next_free(preset or DEFAULT_PRESET)
    run = runs.location(settings.run)
    if (run / "config.json").exists() and not settings.resume:
        raise UserError(f"{run} exists already; go on with it by --resume, or choose another --run")
    return run


def _merge(config: runs.RunConfig, settings: Pretrain, run: Path) -> runs.RunConfig:
    """The run's configuration with what may change on the way; UserError for what may not."""
    if settings.data and source_folder(settings.data).resolve() != Path(config.data).parent:
        raise UserError(f"{run} was started with other texts; --resume cannot change --data (it may be left out)")
    if settings.tokenizer and Tokenizer.load(settings.tokenizer).hash != config.tokenizer_hash:
        raise UserError(f"{run} was started with another tokenizer; --resume cannot change it (it may be left out)")
    model = dataclasses.replace(settings.model, vocab_size=config.model.vocab_size)
    if model != config.model:
        raise UserError(f"{run} was started with {config.model}; --resume cannot change the model to {model}")
    for name in ("seed", "batch_size", "optimizer"):
        before, now = getattr(config.train, name), getattr(settings.train, name)
        if before != now:
            raise UserError(f"{run} was started with {name} {before}; --resume cannot change it to {now}")
    return dataclasses.replace(config, train=settings.train)


def _batches(config: runs.RunConfig, tokenizer: Tokenizer) -> tuple[TokenBatches, Validation, list[np.ndarray]]:
    train, model = config.train, config.model
    folder = Path(config.data)
    if not folder.is_dir():
        raise UserError(f"the shards {folder} are gone; start a new run with --data, which writes them again")
    shards = Shards.open(folder, "train", tokenizer_hash=tokenizer.hash)
    held_out = Shards.open(folder, "val", tokenizer_hash=tokenizer.hash)
    rows = train.micro_batch_size or train.batch_size
    windows = EvaluationWindows(held_out, batch_size=rows, context=model.context, stride=max(1, model.context // 2))
    batches = TokenBatches(shards, batch_size=train.batch_size, context=model.context, seed=train.seed)
    passages = choose_passages(held_out, length=min(PASSAGE, model.context))
    return batches, Validation(windows, windows.n_tokens, windows.n_bytes), passages
