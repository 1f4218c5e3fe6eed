"""Real small trainings: seven planted illnesses are each named, five healthy runs hear nothing."""

from __future__ import annotations

import pytest
import torch
from tiny_training import changed, train

from jarvis_nano.observe.diagnosis import diagnose

NANO = {"norm": "rmsnorm", "positions": "rotary", "mlp": "relu2", "qk_norm": True}
NANO_TRAIN = {"optimizer": "muon", "learning_rate": 5e-3, "muon_learning_rate": 0.03, "schedule": "wsd", "decay": 0.6}
MUON_30 = {"learning_rate": 30 * 5e-3, "muon_learning_rate": 30 * 0.03}
MINI = {"bias": True, "tie_embeddings": False}


@pytest.fixture(autouse=True)
def one_thread():
    """Matrices this small are slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def findings(model, config, **illness):
    return diagnose(train(model, config, **illness), config, model)


@pytest.mark.parametrize(
    "configs",
    [
        changed(MINI, seed=0),
        changed(MINI, seed=1),
        changed(MINI, seed=2, learning_rate=1e-3),
        changed(NANO, seed=3, **NANO_TRAIN),
        changed(NANO, seed=4, **NANO_TRAIN),
        # Every step of this one is clipped by a little.
        pytest.param(changed(MINI, seed=9, learning_rate=1e-3, batch_size=16, steps=500), marks=pytest.mark.slow),
    ],
    ids=["mini-0", "mini-1", "mini-2", "nano-3", "nano-4", "clipped"],
)
def test_a_healthy_run_stays_silent(configs):
    assert [finding.text("en") for finding in findings(*configs)] == []


def _freeze(model):
    model.blocks[1].requires_grad_(False)


@torch.no_grad()
def _kill_units(model, step):
    if step == 30:
        model.blocks[1].mlp.up.bias.fill_(-5.0)


@torch.no_grad()
def _break_a_weight(model, step):
    if step == 40:
        model.blocks[0].mlp.up.weight[0, 0] = float("nan")


@torch.no_grad()
def _grow_queries_and_keys(model, step):
    model.blocks[1].attention.qkv.weight[: 2 * model.config.d_model] *= 1.03


@pytest.mark.parametrize(
    ("rule", "configs", "illness"),
    [
        ("rate_too_high", changed(learning_rate=30 * 3e-3, steps=100), {}),
        ("rate_too_high", changed(NANO, **NANO_TRAIN | MUON_30, steps=100), {}),
        ("no_warmup", changed(learning_rate=0.03, warmup=0.0, steps=60), {}),
        ("frozen_layer", changed(steps=60), {"prepare": _freeze}),
        ("dead_neurons", changed({"mlp": "relu2", "bias": True}, steps=100), {"at_step": _kill_units}),
        ("overfitting", changed(), {"n_stories": 2}),
        ("not_finite", changed(steps=60), {"at_step": _break_a_weight}),
        ("attention_logits", changed(steps=140), {"at_step": _grow_queries_and_keys}),
    ],
    ids=["rate x 30", "rate x 30, Muon", "no warm-up", "frozen", "dead units", "duplicates", "NaN", "attention logits"],
)
def test_a_planted_illness_is_named(rule, configs, illness):
    found = findings(*configs, **illness)
    named = {finding.rule: finding for finding in found}
    assert rule in named, [finding.text("en") for finding in found]
    # What is planted explains what is found: nothing else, except what too large steps bring with them.
    if rule not in ("rate_too_high", "no_warmup"):
        assert set(named) == {rule}
    if rule in ("frozen_layer", "dead_neurons"):
        assert named[rule].evidence[0].tag.endswith("/01")
