"""Optimizers and schedule, against what the papers say, computed another way."""

import dataclasses
import math

import pytest
import torch

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.model import Transformer
from jarvis_nano.training import optimizer, schedule

CONFIG = ModelConfig(vocab_size=50, context=8, n_layers=2, n_heads=4, n_kv_heads=2, d_model=16, bias=True, qk_norm=True)


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_orthogonalised_matrices_keep_directions_and_lose_sizes(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    found = optimizer.orthogonalise(matrix)
    sizes = torch.linalg.svdvals(found)
    assert sizes.min() > 0.6
    assert sizes.max() < 1.3
    projected = u.T @ found @ vt.T  # diagonal where the singular vectors are kept
    assert (projected - torch.diag(projected.diagonal())).abs().max() < 1e-3


def test_muon_is_its_definition():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(12, 4))
    start, gradients = weight.detach().clone(), [torch.randn(12, 4) for _ in range(2)]
    muon = optimizer.Muon([weight], lr=0.1, weight_decay=0.5, row_splits={weight: (8, 4)})
    expected, momentum = start, torch.zeros(12, 4)
    for gradient in gradients:
        weight.grad = gradient.clone()
        muon.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        nesterov = 0.05 * gradient + 0.95 * momentum
        tall, square = optimizer.orthogonalise(nesterov[:8]), optimizer.orthogonalise(nesterov[8:])
        update = torch.cat([tall * math.sqrt(2), square])
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * update
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_each_parameter_is_in_one_group_and_only_matrices_decay(name):
    model = Transformer(CONFIG)
    groups = [g for o in optimizer.build(model, TrainConfig(optimizer=name)) for g in o.param_groups]
    found = [p for group in groups for p in group["params"]]
    assert sorted(map(id, found)) == sorted(map(id, model.parameters()))
    for group in groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] == 0) == (parameter.dim() == 1)


def test_cosine_schedule_at_its_landmarks():
    config = TrainConfig(steps=1000, schedule="cosine", warmup=0.1, final_lr=0.1)
    assert schedule.rate(0, config) == pytest.approx(0.01)
    assert schedule.rate(99, config) == pytest.approx(1.0)
    assert schedule.rate(550, config) == pytest.approx(0.55)
    assert schedule.rate(999, config) == pytest.approx(0.1, abs=1e-4)


def test_wsd_schedule_is_flat_then_linear():
    config = TrainConfig(steps=1000, schedule="wsd", warmup=0.1, decay=0.2, final_lr=0.0)
    assert {schedule.rate(step, config) for step in range(100, 801)} == {1.0}
    assert schedule.rate(900, config) == pytest.approx(0.5)
    assert schedule.rate(999, config) == pytest.approx(0.005)


def test_rates_never_leave_zero_to_one():
    for kind in ("cosine", "wsd"):
        for steps in (1, 2, 7):
            config = dataclasses.replace(TrainConfig(), steps=steps, schedule=kind)
            assert all(0 < schedule.rate(step, config) <= 1 for step in range(steps))
