"""Writing checkpoints: beside, hashed, synced, then renamed, so that a run never holds a half-written one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from jarvis_nano import runs
from jarvis_nano.config import read_json, to_json
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.observe.replacing import replace_file

OptimizerState = dict[str, dict[str, Tensor]]
"""parameter name -> state name -> tensor; step counts are tensors too"""


def write_config(run: Path, config: runs.RunConfig) -> None:
    """config.json of a new run."""
    run.mkdir(parents=True, exist_ok=True)
    write_text(
        run / "config.json", json.dumps({"format": runs.FORMAT, **to_json(config)}, ensure_ascii=False, indent=1)
    )


def write_text(path: Path, text: str) -> None:
    """A text file, written beside itself and renamed into place."""
    replace_file(path, text.encode())


def save(
    run: Path, model: Transformer, optimizer: OptimizerState, *, step: int, state: dict[str, Any], keep: int
) -> Path:
    """Write checkpoints/step_<step>, point `latest` at it, and drop all but the last `keep` and the best.

    `state` is stored as JSON; its "eval_loss" (or None) decides which checkpoint is the best.
    """
    folder = run / "checkpoints" / f"step_{step:08d}"
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        if model.config.tie_embeddings:
            del weights["head.weight"]  # the same storage as token_embedding.weight
        flat = {f"{parameter}:{name}": t.contiguous() for parameter, s in optimizer.items() for name, t in s.items()}
        _save_tensors(weights, beside / "model.safetensors")
        _save_tensors(flat, beside / "optimizer.safetensors")
        files = {name: runs.sha256(beside / name) for name in ("model.safetensors", "optimizer.safetensors")}
        record = {"format": runs.CHECKPOINT_FORMAT, "step": step, **state, "files": files}
        (beside / "state.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        for path in beside.iterdir():
            _sync(path)
        if folder.exists():
            shutil.rmtree(folder)  # the same step, saved again after a resume: bit-equal
        os.replace(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    write_text(run / "latest", folder.name + "\n")
    _drop_old(run, folder, keep)
    return folder


def commit() -> str:
    """The commit of the code that trains, or "" outside a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return ""
    return found.stdout.strip()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """save_file, whose own error for a full disk becomes the system's."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        if "os error 28" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def _drop_old(run: Path, newest: Path, keep: int) -> None:
    """Keep the last `keep` up to the newest and the best of them; later ones are of a future that was gone back on."""
    for path in runs.checkpoints(run):
        if path.name > newest.name:
            shutil.rmtree(path)
    there = runs.checkpoints(run)
    losses: dict[Path, Any] = {path: read_json(path / "state.json").get("eval_loss") for path in there}
    scored = [path for path in there if losses[path] is not None]
    best = min(scored, key=lambda path: losses[path]) if scored else None
    for path in there[:-keep]:
        if path != best:
            shutil.rmtree(path)


def restore(run: Path, model: Transformer) -> tuple[dict[str, Any], OptimizerState]:
    """Load the latest checkpoint's weights into the model; return its state.json and the optimizer's state."""
    checkpoint = runs.latest_checkpoint(run)
    state = runs.read_state(checkpoint)
    runs.load_weights(model, load_file(checkpoint / "model.safetensors"), checkpoint / "model.safetensors")
    optimizer: OptimizerState = {}
    for key, tensor in load_file(checkpoint / "optimizer.safetensors").items():
        parameter, _, name = key.rpartition(":")
        optimizer.setdefault(parameter, {})[name] = tensor
    return state, optimizer


def optimizer_state(optimizers: list[torch.optim.Optimizer], names: dict[Tensor, str]) -> OptimizerState:
    """The state of several optimizers by parameter name."""
    return {
        # Counts are copied: ours share one, and a file takes no tensor twice.
        names[p]: {n: t.clone() if t.dim() == 0 else t for n, t in s.items()}
        for optimizer in optimizers
        for p, s in optimizer.state.items()
    }


def restore_optimizers(
    optimizers: list[torch.optim.Optimizer], names: dict[Tensor, str], state: OptimizerState
) -> None:
    """Put a saved state back; UserError if it is not of these optimizers."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if names[parameter] not in state:
                    raise UserError(
                        f"the checkpoint has no optimizer state for {names[parameter]}; was --optimizer changed?"
                    )
                values = state[names[parameter]]
                # Fused AdamW wants its step count beside the parameter too.
                optimizer.state[parameter] = {n: t.to(parameter.device, copy=True) for n, t in values.items()}
