"""Whole runs as a learner starts them: each planted illness is in the run's own diagnosis.jsonl, healthy runs hear
nothing. tests/observe/test_diagnosis_trainings.py checks the rules; here everything comes from the real figures."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import pytest
import torch

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.stories import story
from jarvis_nano.observe.diagnosis import Finding, read_findings
from jarvis_nano.training.loop import Trainer
from jarvis_nano.training.pretrain import Pretrain, pretrain
from jarvis_nano.training.recorder import Diverged

pytestmark = pytest.mark.slow

MINI = ModelConfig(vocab_size=320, context=48, n_layers=3, n_heads=2, d_model=48, bias=True, tie_embeddings=False)
NANO = dataclasses.replace(
    MINI, norm="rmsnorm", positions="rotary", mlp="relu2", qk_norm=True, bias=False, tie_embeddings=True
)
TRAIN = TrainConfig(
    steps=200, batch_size=6, learning_rate=3e-3, warmup=0.1, log_every=5, probe_every=20, eval_every=40,
    eval_batches=8, save_every=100, sample_every=100,
)  # fmt: skip
MUON = {"optimizer": "muon", "learning_rate": 5e-3, "muon_learning_rate": 0.03, "schedule": "wsd", "decay": 0.6}
MUON_30 = MUON | {"learning_rate": 30 * 5e-3, "muon_learning_rate": 30 * 0.03}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A corpus of stories, and one that says two of them over and over, with others held out."""
    folder = tmp_path_factory.mktemp("texts")
    stories = sorted((story(1, i) for i in range(500)), key=holdout.rank)
    held_out = stories[:8]  # the lowest ranks: the eight that any of these corpora sets aside
    for name, some in (("varied", stories), ("twofold", stories[-2:] * 60 + held_out)):
        (folder / f"{name}.txt").write_text("\n\n\n".join(some), encoding="utf-8")
    return folder


@pytest.fixture
def findings(texts, tmp_path_factory, monkeypatch) -> Callable[..., dict[str, Finding]]:
    def train_and_read(
        model: ModelConfig = MINI,
        at_step: Callable[[Trainer], None] = lambda trainer: None,
        text: str = "varied",
        ends: type[Exception] | None = None,
        **train: object,
    ) -> dict[str, Finding]:
        folder = tmp_path_factory.getbasetemp() / "illnesses"  # the shards are shared
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        original = Trainer._step

        def step(self, requested):
            at_step(self)
            return original(self, requested)

        run = tmp_path_factory.mktemp("run")
        config, data = dataclasses.replace(TRAIN, **train), (str(texts / f"{text}.txt"),)
        settings = Pretrain(
            run=str(run), data=data, model=model, train=config, tensorboard=False, device="cpu", threads=1, lang="en"
        )
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_step", step)
            with pytest.raises(ends) if ends else contextlib.nullcontext():
                pretrain(settings, "nano")
        return {finding.rule: finding for finding in read_findings(run)}

    return train_and_read


@pytest.mark.parametrize(
    ("model", "train"),
    [
        (MINI, {"seed": 0}),
        (MINI, {"seed": 1}),
        (MINI, {"seed": 2, "learning_rate": 1e-3, "micro_batch_size": 2}),
        (NANO, {"seed": 3, **MUON}),
        (NANO, {"seed": 4, **MUON}),
    ],
    ids=["mini-0", "mini-1", "mini-2", "nano-3", "nano-4"],
)
def test_a_healthy_run_stays_silent(findings, model, train):
    assert [finding.text("en") for finding in findings(model, **train).values()] == []


def at(number: int, change: Callable[[Trainer], None]) -> Callable[[Trainer], None]:
    """To be called before each step: does it before one of them."""

    def at_step(trainer: Trainer) -> None:
        if trainer.step == number:
            with torch.no_grad():
                change(trainer)

    return at_step


def freeze(trainer: Trainer) -> None:
    trainer.model.blocks[1].requires_grad_(False)


def kill_units(trainer: Trainer) -> None:
    trainer.model.blocks[1].mlp.up.bias.fill_(-5.0)


def break_a_weight(trainer: Trainer) -> None:
    trainer.model.blocks[0].mlp.up.weight[0, 0] = float("nan")


@torch.no_grad()
def grow_queries_and_keys(trainer: Trainer) -> None:
    trainer.model.blocks[1].attention.qkv.weight[: 2 * MINI.d_model] *= 1.03


RELU = dataclasses.replace(MINI, mlp="relu2")


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("rate_too_high", {"learning_rate": 30 * 3e-3, "steps": 100}),
        ("rate_too_high", {"model": NANO, **MUON_30, "steps": 100}),
        ("no_warmup", {"learning_rate": 0.03, "warmup": 0.0, "steps": 60}),
        ("frozen_layer", {"at_step": at(0, freeze), "steps": 60}),
        ("dead_neurons", {"model": RELU, "at_step": at(30, kill_units), "steps": 100}),
        ("overfitting", {"text": "twofold"}),
        ("attention_logits", {"at_step": grow_queries_and_keys, "steps": 140}),
    ],
    ids=["rate x 30", "rate x 30, Muon", "no warm-up", "frozen", "dead units", "duplicates", "attention logits"],
)
def test_a_planted_illness_is_named(findings, rule, settings):
    found = findings(**settings)
    assert rule in found, [finding.text("en") for finding in found.values()]
    # What is planted explains what is found: nothing else, except what too large steps bring with them.
    if rule not in ("rate_too_high", "no_warmup"):
        assert set(found) == {rule}
    if rule in ("frozen_layer", "dead_neurons"):
        assert found[rule].evidence[0].tag.endswith("/01")


def test_a_nan_is_named_and_ends_the_run(findings):
    found = findings(at_step=at(40, break_a_weight), steps=60, ends=Diverged)
    assert set(found) == {"not_finite"}
    assert found["not_finite"].first_step == 45  # the first line after it
