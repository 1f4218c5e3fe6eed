"""Tuning on instructions: what scripts/finetune.py runs. The template is chat.py's, the loop that of pretraining."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from torch import Tensor

from jarvis_nano import runs
from jarvis_nano.chat import encode_conversation, encode_prompt
from jarvis_nano.config import Compile, TrainConfig
from jarvis_nano.corpus.holdout import rank
from jarvis_nano.corpus.instructions import Message, read_numbered_instructions
from jarvis_nano.data.batches import ExampleBatches
from jarvis_nano.errors import UserError
from jarvis_nano.evaluation.perplexity import HeldOut
from jarvis_nano.observe.tags import Lang
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.training import distributed
from jarvis_nano.training.allocator import keep_freed_memory
from jarvis_nano.training.loop import Validation
from jarvis_nano.training.observation import ObserveConfig
from jarvis_nano.training.session import started, train_run

EPOCHS = 3.0
BATCH_SIZE = 16
RATE_SHARE = 0.3  # of the rates that the model was pretrained with
HELD_OUT_FRACTION = 0.05
FEWEST_TO_SPLIT = 10
SAMPLES = 3
LINES_NAMED = 8

Example = tuple[np.ndarray, np.ndarray]


def _default(hint: str, metavar: str) -> Any:
    """A flag that may be left out, whose default depends on the run."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {hint})", metavar=metavar)


@dataclass(frozen=True)
class Finetune:
    """Teach a pretrained model to answer, on instructions.

    Example: python scripts/finetune.py base --data instructions.jsonl --run tuned
    """

    base: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run to start from: a name under runs/ (or $JARVIS_NANO_RUNS), or a folder."""
    data: str = ""
    """JSONL such as {"instruction", "response"} or {"messages": [{"role", "content"}, …]}, and other formats."""
    run: str = ""
    """Name or folder of the new run; default: <RUN>-tuned-<n>."""
    epochs: Annotated[float | None, _default("3", "FLOAT")] = None
    """Times that each conversation is seen."""
    steps: Annotated[int | None, _default("those of --epochs", "INT")] = None
    """Optimizer steps, instead of --epochs."""
    batch_size: Annotated[int | None, _default("16", "INT")] = None
    """Rows of one step, each packed with conversations."""
    learning_rate: Annotated[float | None, _default("0.3 × the pretraining's", "FLOAT")] = None
    """Peak rate of AdamW; Muon's moves in proportion."""
    seed: Annotated[int | None, _default("0", "INT")] = None
    """Seed of the order of the rows and of dropout."""
    log_every: Annotated[int | None, _default("the pretraining's", "INT")] = None
    """Steps between two lines of metrics."""
    eval_every: Annotated[int | None, _default("the pretraining's", "INT")] = None
    """Steps between two validations."""
    save_every: Annotated[int | None, _default("the pretraining's", "INT")] = None
    """Steps between two checkpoints."""
    sample_every: Annotated[int | None, _default("the pretraining's", "INT")] = None
    """Steps between two sampled answers."""
    compile: Annotated[Compile | None, _default("the pretraining's", "auto|on|off")] = None
    """Compile the model's forward and backward (torch.compile, a minute at the start); auto: on a GPU."""
    resume: bool = False
    """Go on from the new run's latest checkpoint; with no checkpoint yet, start; if finished, do nothing."""
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


@dataclass(frozen=True)
class Instructions:
    """A file of conversations as ids."""

    train: list[Example]
    held_out: list[Example]
    """Those for validation; the training ones themselves where there are too few to split."""
    prompts: list[list[int]]
    """A few held-out questions, for answers sampled during training."""
    too_long: list[int]
    """The lines left out because they do not fit the context."""
    is_split: bool

    def remarks(self, context: int) -> list[str]:
        """What the user should know about the file, a sentence each."""
        found = []
        if self.too_long:
            lines = ", ".join(map(str, self.too_long[:LINES_NAMED]))
            more = ", …" if len(self.too_long) > LINES_NAMED else ""
            found.append(
                f"{len(self.too_long)} conversation(s) longer than the context of {context} tokens are left out: "
                f"line(s) {lines}{more}"
            )
        if not self.is_split:
            found.append(
                f"{len(self.train)} conversation(s) are too few to hold some out: "
                "the validation figures are of the training conversations"
            )
        return found


def read_examples(path: Path | str, tokenizer: Tokenizer, context: int) -> Instructions:
    """The conversations of a file, split by a hash of their first question: equal questions fall on one side.

    A conversation longer than the context is left out, for cut anywhere it would teach answers to nothing.
    UserError where the file has faults, or where nothing fits.
    """
    kept: list[list[Message]] = []
    examples: list[Example] = []
    too_long: list[int] = []
    for line, messages in read_numbered_instructions(path):
        ids, mask = encode_conversation(tokenizer, messages)
        if len(ids) - 1 > context:  # the last id is a target only
            too_long.append(line)
            continue
        kept.append(messages)
        examples.append((ids, mask))
    if not examples:
        raise UserError(
            f"{path}: all {len(too_long)} conversations are longer than the model's context of {context} tokens; "
            "shorten them, or tune a model with a longer context"
        )
    held_out = _held_out([_first_question(messages) for messages in kept])
    is_split = bool(held_out) and len(held_out) < len(examples)
    asked = [kept[i] for i in (sorted(held_out) if is_split else range(len(kept)))]
    return Instructions(
        train=[example for i, example in enumerate(examples) if not (is_split and i in held_out)],
        held_out=[example for i, example in enumerate(examples) if not is_split or i in held_out],
        prompts=_sample_prompts(tokenizer, asked, context // 2),
        too_long=too_long,
        is_split=is_split,
    )


def _held_out(questions: Sequence[str]) -> set[int]:
    """The numbers of about HELD_OUT_FRACTION of the questions, by the lowest ranks; at least one of ten or more."""
    if len(questions) < FEWEST_TO_SPLIT:
        return set()
    ranks = [rank(question) for question in questions]
    border = max(HELD_OUT_FRACTION, min(ranks))
    return {i for i, place in enumerate(ranks) if place <= border}


def _first_question(messages: Sequence[Message]) -> str:
    return next(message["content"] for message in messages if message["role"] == "user")


def _sample_prompts(tokenizer: Tokenizer, conversations: Sequence[Sequence[Message]], longest: int) -> list[list[int]]:
    """The openings of a few conversations, up to the first answer; each once."""
    found: list[list[int]] = []
    for messages in conversations:
        opening = messages[: 2 if messages[0]["role"] == "system" else 1]
        prompt = encode_prompt(tokenizer, opening).tolist()
        if len(prompt) <= longest and prompt not in found:
            found.append(prompt)
        if len(found) == SAMPLES:
            break
    return found


def finetune(settings: Finetune) -> None:
    """Tune to the last step and, on rank 0, print what came out of it."""
    keep_freed_memory()
    with distributed.join(settings.device, settings.threads) as world:
        base = runs.resolve(settings.base)
        run = Path(world.share(str(_choose_run(settings, base)) if world.is_first else ""))
        with started(run, world):
            going_on = settings.resume and (run / "config.json").is_file()
            weights: dict[str, Tensor] | None = None
            if going_on and runs.checkpoints(run):
                tokenizer = Tokenizer.load(run / "tokenizer")
            else:
                model, tokenizer = runs.load(base)
                weights = model.state_dict()
            config = _resumed(runs.read_config(run), settings, base, run) if going_on else _started(settings, base)
            if tokenizer.vocab_size > config.model.vocab_size:
                raise UserError(
                    f"the tokenizer of {base} has {tokenizer.vocab_size} ids but its model {config.model.vocab_size}; "
                    "tune a run whose tokenizer is its own"
                )
            context = config.model.context
            instructions = read_examples(config.data, tokenizer, context)
            train = config.train
            batches = ExampleBatches(instructions.train, batch_size=train.batch_size, context=context, seed=train.seed)
            config = dataclasses.replace(config, train=_with_steps(train, settings, batches, going_on))
            if world.is_first:
                for remark in instructions.remarks(context):
                    print(f"{config.data}: {remark}", file=sys.stderr)
            validation = _validation(instructions, config.train, context)
            result = train_run(
                run,
                config,
                tokenizer,
                batches,
                validation,
                world,
                prompts=instructions.prompts,
                resume=going_on,
                observe=ObserveConfig(settings.observe == "on", settings.lang, settings.profile, settings.hessian),
                tensorboard=settings.tensorboard,
                weights=weights,
            )
            if world.is_first:
                print(_summary(run, result, instructions))


def _choose_run(settings: Finetune, base: Path) -> Path:
    """The folder of the new run; UserError where it is taken."""
    if not settings.run:
        if settings.resume:
            raise UserError("--resume needs --run: the name of the tuned run to go on with")
        return runs.next_free(f"{base.name}-tuned")
    run = runs.location(settings.run)
    if run.resolve() == base.resolve():
        raise UserError(f"--run {run} is the run to be tuned; give the new one another name")
    if (run / "config.json").exists() and not settings.resume:
        raise UserError(f"{run} exists already; go on with it by --resume, or choose another --run")
    return run


def _started(settings: Finetune, base: Path) -> runs.RunConfig:
    """The configuration of a new tuning: the base's model, and its training with smaller rates."""
    if not settings.data:
        raise UserError("no instructions: give a file of them with --data, such as --data instructions.jsonl")
    config = runs.read_config(base)
    train = dataclasses.replace(
        _with_rate(config.train, RATE_SHARE * config.train.learning_rate),
        batch_size=BATCH_SIZE,
        micro_batch_size=0,
        schedule="cosine",
        warmup=0.05,
        seed=0,
    )
    in_root = base.resolve().parent == runs.root().resolve()
    return dataclasses.replace(
        config,
        train=_with_flags(train, settings),
        data=str(Path(settings.data).resolve()),
        tuned_from=base.name if in_root else str(base.resolve()),
    )


def _resumed(config: runs.RunConfig, settings: Finetune, base: Path, run: Path) -> runs.RunConfig:
    """The configuration of a tuning that goes on; UserError for what may not change on the way."""
    if not config.tuned_from or runs.location(config.tuned_from).resolve() != base.resolve():
        raise UserError(f"{run} was tuned from {config.tuned_from or 'nothing'}, not from {base}; choose another --run")
    if settings.data and Path(settings.data).resolve() != Path(config.data):
        raise UserError(f"{run} was started with --data {config.data}; --resume cannot change it to {settings.data}")
    train = _with_flags(config.train, settings)
    for name in ("seed", "batch_size"):
        before, now = getattr(config.train, name), getattr(train, name)
        if before != now:
            raise UserError(f"{run} was started with {name} {before}; --resume cannot change it to {now}")
    return dataclasses.replace(config, train=train)


def _with_flags(train: TrainConfig, settings: Finetune) -> TrainConfig:
    """The training with what the user gave."""
    names = ("steps", "batch_size", "seed", "log_every", "eval_every", "save_every", "sample_every", "compile")
    given: dict[str, Any] = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    train = dataclasses.replace(train, **given)
    return train if settings.learning_rate is None else _with_rate(train, settings.learning_rate)


def _with_rate(train: TrainConfig, rate: float) -> TrainConfig:
    """Another peak rate; Muon's moves in proportion."""
    muon = train.muon_learning_rate * rate / train.learning_rate
    return dataclasses.replace(train, learning_rate=rate, muon_learning_rate=muon)


def _with_steps(train: TrainConfig, settings: Finetune, batches: ExampleBatches, going_on: bool) -> TrainConfig:
    """The steps that the epochs make, unless they are given or were given when the run began."""
    if settings.steps is not None or (going_on and settings.epochs is None):
        return train
    epochs = EPOCHS if settings.epochs is None else settings.epochs
    if epochs <= 0:
        raise UserError(f"--epochs is {epochs}; it must be above 0")
    return dataclasses.replace(train, steps=math.ceil(epochs * batches.steps_per_epoch))


def _validation(instructions: Instructions, train: TrainConfig, context: int) -> Validation:
    rows = ExampleBatches(instructions.held_out, batch_size=train.batch_size, context=context, seed=0)
    return Validation(rows.in_order(), rows.n_tokens)


def _summary(run: Path, result: HeldOut | None, instructions: Instructions) -> str:
    if result is None:
        return f"{run} is finished already; give it more --steps to go on"
    which = "held-out" if instructions.is_split else "training"
    return (
        f"{run}: loss {result.loss:.3f} (perplexity {result.perplexity:.1f}) on the answers of "
        f"{len(instructions.held_out)} {which} conversations; next: python scripts/chat.py {run}"
    )
