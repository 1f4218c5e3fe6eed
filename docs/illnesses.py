"""Makes the ill runs of docs/observing.md: each is a short training of the preset nano with one thing wrong.

    python docs/illnesses.py RUNS [NAME …] [--steps 150]

RUNS is the folder for the runs; a name is one of PLANTED. What each was told by the diagnosis is printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from jarvis_nano.corpus.stories import story
from jarvis_nano.model import Transformer
from jarvis_nano.observe.diagnosis import read_findings
from jarvis_nano.training.loop import Trainer
from jarvis_nano.training.pretrain import defaults, pretrain

Plant = Callable[[Transformer, int], None]


@torch.no_grad()
def kill_units(model: Transformer, step: int) -> None:
    """At step 40 the units of block 1 are pushed so far below zero that ReLU lets nothing through."""
    if step == 40:
        model.blocks[1].mlp.up.bias.fill_(-12.0)


def freeze(model: Transformer, step: int) -> None:
    if step == 0:
        model.blocks[1].requires_grad_(False)


@torch.no_grad()
def grow_queries_and_keys(model: Transformer, step: int) -> None:
    """As a rate that is too high does it in a large model, in weeks: q and k of block 2 grow by 3 % a step."""
    model.blocks[2].attention.qkv.weight[: 2 * model.config.d_model] *= 1.03


# name -> (fields of the model, of the training, what is done before each step)
PLANTED: dict[str, tuple[dict[str, Any], dict[str, Any], Plant | None]] = {
    "healthy": ({}, {}, None),
    "rate_x30": ({}, {"learning_rate": 0.15, "muon_learning_rate": 0.9}, None),
    "no_warmup": ({}, {"optimizer": "adamw", "learning_rate": 0.1, "warmup": 0.0}, None),
    "dead_units": ({"bias": True}, {}, kill_units),
    "frozen": ({}, {}, freeze),
    "logits": ({"qk_norm": False}, {"optimizer": "adamw", "learning_rate": 1e-3}, grow_queries_and_keys),
    "duplicates": ({"vocab_size": 1024}, {}, None),
}


def make(name: str, folder: Path, steps: int) -> None:
    """Train one of them; a run that is there already is left alone."""
    if (folder / name / "latest").exists():
        return
    model, train, plant = PLANTED[name]
    start = defaults("nano")
    train = {"eval_every": 25, "probe_every": 10, "log_every": 5, "sample_every": steps, **train, "steps": steps}
    settings = dataclasses.replace(
        start,
        run=str(folder / name),
        model=dataclasses.replace(start.model, **model),
        train=dataclasses.replace(start.train, **train),
        tensorboard=False,
    )
    if name == "duplicates":  # forty stories, again and again
        few = folder / "forty_stories.txt"
        few.write_text("\n\n\n".join(story(7, i) for i in range(40)), encoding="utf-8")
        settings = dataclasses.replace(settings, data=(str(few),))
    original = Trainer._step

    def step(trainer: Trainer, requested: bool) -> Any:
        if plant:
            plant(trainer.model, trainer.step)
        return original(trainer, requested)

    with mock.patch.object(Trainer, "_step", step):
        pretrain(settings, "nano")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *PLANTED])
    parser.add_argument("--steps", type=int, default=150)
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    os.environ["JARVIS_NANO_RUNS"] = str(asked.runs)
    for name in asked.names or PLANTED:
        make(name, asked.runs, asked.steps)
        for finding in read_findings(asked.runs / name):
            print(f"{name}: {finding.severity}, {finding.rule}: {finding.text('en')}", flush=True)


if __name__ == "__main__":
    main()
