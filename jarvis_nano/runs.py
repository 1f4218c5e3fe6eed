"""The run folder: where things lie in it, and how a checkpoint is read and verified. training/checkpoint.py writes.

runs/demo/config.json            the model, the training, what it was made from
runs/demo/tokenizer/             tokenizer.json and its companions
runs/demo/checkpoints/step_00000500/{model.safetensors, optimizer.safetensors, state.json}
runs/demo/latest                 the name of the newest checkpoint
runs/demo/metrics.jsonl, samples.jsonl, tensorboard/
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jarvis_nano.config import ModelConfig, TrainConfig, from_json, read_json
from jarvis_nano.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from jarvis_nano.model import Transformer
    from jarvis_nano.tokenizer import Tokenizer

FORMAT = "jarvis_nano run 1"
CHECKPOINT_FORMAT = "jarvis_nano checkpoint 1"


def root() -> Path:
    """Where runs live: $JARVIS_NANO_RUNS, or runs/ in the current folder."""
    return Path(os.environ.get("JARVIS_NANO_RUNS") or "runs")


def location(run: str | Path) -> Path:
    """The folder of a run, there or not: a path as it is, a bare name under root()."""
    path = Path(run)
    is_name = len(path.parts) == 1 and not path.is_absolute() and path.name not in (".", "..")
    return root() / path if is_name and not (path / "config.json").is_file() else path


def resolve(run: str | Path) -> Path:
    """The folder of an existing run; UserError with the runs there are if it is none."""
    path = location(run)
    if (path / "config.json").is_file():
        return path
    there = ", ".join(sorted(p.name for p in _runs())) or "none yet: python scripts/pretrain.py makes one"
    raise UserError(f"{path} is no run (it has no config.json). Runs in {root()}: {there}")


def newest(*, tuned: bool | None = None) -> Path:
    """The run with the latest checkpoint; with `tuned`, only among those that have (or have not) been tuned."""
    candidates = [path for path in _runs() if (path / "latest").is_file()]
    if tuned is not None:
        candidates = [path for path in candidates if bool(read_json(path / "config.json").get("tuned_from")) == tuned]
    if not candidates:
        kind = {None: "", True: " tuned on instructions", False: " that is not tuned"}[tuned]
        raise UserError(f"there is no run{kind} in {root()}; make one with: make demo (or python scripts/pretrain.py)")
    return max(candidates, key=lambda path: (path / "latest").stat().st_mtime_ns)


def next_free(preset: str) -> Path:
    """`<preset>-<n>`, the lowest n not taken; the folder is made, so that two runs started at once get two."""
    n = 1
    while True:
        try:
            (root() / f"{preset}-{n}").mkdir(parents=True)
            return root() / f"{preset}-{n}"
        except FileExistsError:
            n += 1


def give_up(run: Path) -> None:
    """After a failed start: remove the folder if nothing was written into it."""
    with contextlib.suppress(OSError):
        run.rmdir()


def _runs() -> list[Path]:
    if not root().is_dir():
        return []
    return [path for path in root().iterdir() if (path / "config.json").is_file()]


@dataclass(frozen=True)
class RunConfig:
    """config.json: all that is needed to go on, or to know what a run was."""

    preset: str
    model: ModelConfig
    train: TrainConfig
    tokenizer_hash: str
    data: str
    """The folder of the shards (or the file of instructions) it was trained on."""
    tuned_from: str = ""
    """The run that was tuned; empty for a pretrained one."""


def read_config(run: Path) -> RunConfig:
    """config.json of a run, checked."""
    path = run / "config.json"
    values = read_json(path)
    if values.pop("format", None) != FORMAT:
        raise UserError(f"{path} is not of the format '{FORMAT}'; was it made by another version?")
    values["model"] = from_json(ModelConfig, values.get("model", {}), path)
    values["train"] = from_json(TrainConfig, values.get("train", {}), path)
    return from_json(RunConfig, values, path)


def checkpoints(run: Path) -> list[Path]:
    """The finished checkpoints, oldest first."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.name.startswith("step_") and (path / "state.json").is_file()
    )


def latest_checkpoint(run: Path) -> Path:
    """The checkpoint that `latest` names."""
    there = checkpoints(run)
    if not there:
        raise UserError(f"{run} has no checkpoint yet; it was interrupted before the first one: train it again")
    pointer = run / "latest"
    name = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else there[-1].name
    if not (run / "checkpoints" / name / "state.json").is_file():
        known = ", ".join(path.name for path in there)
        raise UserError(f"{pointer} names {name}, which is not there; write one of these into it: {known}")
    return run / "checkpoints" / name


def read_state(checkpoint: Path) -> dict[str, Any]:
    """state.json, after the size and SHA-256 of each file beside it have been checked."""
    state = read_json(checkpoint / "state.json")
    if state.get("format") != CHECKPOINT_FORMAT:
        raise UserError(f"{checkpoint / 'state.json'} is not of the format '{CHECKPOINT_FORMAT}'")
    for name, expected in state["files"].items():
        path = checkpoint / name
        found = sha256(path) if path.is_file() else "missing"
        if found != expected:
            others = [other.name for other in checkpoints(checkpoint.parent.parent) if other != checkpoint]
            way_out = (
                f"write {others[-1]} into {checkpoint.parent.parent / 'latest'} to go back to it"
                if others
                else "there is no other checkpoint: train the run again"
            )
            raise UserError(f"checkpoint {path} is damaged (SHA-256 {found[:12]}, expected {expected[:12]}); {way_out}")
    return state


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_weights(model: Transformer, tensors: dict[str, Tensor], source: Path) -> None:
    """Put the tensors of a checkpoint into a model; UserError naming the first that does not fit."""
    expected = dict(model.state_dict())
    if model.config.tie_embeddings:
        tensors = {**tensors, "head.weight": tensors["token_embedding.weight"]}
    for name, parameter in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        if found != tuple(parameter.shape):
            raise UserError(f"{source}: {name} is {found}, the configuration expects {tuple(parameter.shape)}")
    if extra := sorted(set(tensors) - set(expected)):
        raise UserError(f"{source} holds {extra[0]}, which the configuration does not have")
    model.load_state_dict(tensors)


def load(run: str | Path) -> tuple[Transformer, Tokenizer]:
    """The model (on the CPU, in evaluation mode) and the tokenizer of a run's latest checkpoint."""
    from safetensors.torch import load_file

    from jarvis_nano.model import Transformer
    from jarvis_nano.tokenizer import Tokenizer

    folder = resolve(run)
    config = read_config(folder)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    if tokenizer.hash != config.tokenizer_hash:
        raise UserError(
            f"{folder / 'tokenizer'} has hash {tokenizer.hash[:12]}, but the run was trained with "
            f"{config.tokenizer_hash[:12]}; put the original tokenizer back"
        )
    checkpoint = latest_checkpoint(folder)
    read_state(checkpoint)
    model = Transformer(config.model)
    load_weights(model, load_file(checkpoint / "model.safetensors"), checkpoint / "model.safetensors")
    return model.eval(), tokenizer
