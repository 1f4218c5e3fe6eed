"""The figures made from the steps' by-products, each against numpy or a sum by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from jarvis_nano.config import ModelConfig
from jarvis_nano.model import Transformer
from jarvis_nano.observe import signals
from jarvis_nano.training.objective import Objective, position_buckets, split_sums


def test_norms_are_those_of_all_weights_of_a_block_together():
    rng = np.random.default_rng(0)
    names = ["token_embedding.weight", "blocks.0.mlp.up.weight", "blocks.0.mlp.down.weight", "head.weight"]
    gradients, updates, weights = ([rng.normal(size=(3, 4)) for _ in names] for _ in range(3))
    one_each = [torch.tensor([np.linalg.norm(t) for t in tensors]) for tensors in (gradients, updates, weights)]
    total = float(np.linalg.norm(np.concatenate(gradients)))
    found = signals.norms_by_block(names, *one_each, total=total, max_norm=1.0)
    block = [np.concatenate(tensors[1:3]) for tensors in (gradients, updates, weights)]
    assert found["layers/grad_norm/00"] == pytest.approx(np.linalg.norm(block[0]))
    assert found["layers/clipped_grad_norm/00"] == pytest.approx(np.linalg.norm(block[0]) / (total + 1e-6))
    assert found["layers/update_ratio/00"] == pytest.approx(np.linalg.norm(block[1]) / np.linalg.norm(block[2]))
    assert found["layers/grad_norm/embedding"] == pytest.approx(np.linalg.norm(gradients[0]))
    assert found["layers/grad_norm/final"] == pytest.approx(np.linalg.norm(gradients[3]))
    unclipped = signals.norms_by_block(names, *one_each, total=total, max_norm=math.inf)
    assert unclipped["layers/clipped_grad_norm/00"] == unclipped["layers/grad_norm/00"]


def test_a_spike_is_counted_in_deviations_of_the_128_values_before_it():
    values = np.random.default_rng(1).normal(3.0, 0.1, size=300).tolist()
    spikes = signals.Spikes()
    assert spikes.score(values[:31]) is None
    spikes.score(values[31:])
    window = np.array(values[-128:])
    assert spikes.score([5.0]) == pytest.approx((5.0 - window.mean()) / window.std())
    window = np.append(window[1:], 5.0)
    assert spikes.score([3.0, math.nan]) == pytest.approx((3.0 - window.mean()) / window.std())


def test_the_noise_scale_of_drawn_gradients_is_the_one_they_were_drawn_with():
    """Gradients of tokens: a common direction of length 2 and noise of total variance 900."""
    rng = np.random.default_rng(2)
    width, small, large = 40, 64, 512
    true = np.zeros(width)
    true[0] = 2.0
    scale = signals.NoiseScale(memory=0.995)
    for _ in range(4000):
        parts = rng.normal(true, math.sqrt(900 / width / small), size=(large // small, width))
        found = scale.update(float((parts[0] ** 2).sum()), float((parts.mean(0) ** 2).sum()), small, large)
    assert found == pytest.approx(900 / 4, rel=0.1)


def test_the_noise_scale_is_silent_where_the_signal_drowns():
    assert signals.NoiseScale().update(1.0, 1.0, 10, 10) is None
    assert signals.NoiseScale().update(1.0, 0.01, 1, 2) is None
    assert signals.NoiseScale().update(math.nan, 1.0, 1, 2) is None


def test_the_loss_is_split_by_position_and_by_decile():
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=50, context=12, n_layers=1, n_heads=2, d_model=16)
    model = Transformer(config)
    deciles = torch.randint(0, 10, (50,))
    ids, targets = torch.randint(50, (2, 3, 12))
    targets[0, 3:7] = -100
    _, sums = Objective(model, 0.0, deciles)(ids, targets)
    with torch.no_grad():
        plain = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), reduction="none").view(3, 12).numpy()
    counted = targets.numpy() != -100
    starts = position_buckets(12)
    assert starts == [0, 1, 2, 4, 8]
    by_position, by_decile = split_sums(sums.tolist(), len(starts))
    for start, end, mean in zip(starts, [*starts[1:], 12], by_position, strict=True):
        assert mean == pytest.approx(plain[:, start:end][counted[:, start:end]].mean(), rel=1e-4)
    for decile, mean in enumerate(by_decile):
        here = counted & (deciles[targets.clamp(min=0)].numpy() == decile)
        assert mean == pytest.approx(plain[here].mean(), rel=1e-4) if here.any() else math.isnan(mean)
    assert sums[0].item() == pytest.approx(plain[counted].sum(), rel=1e-4)


def test_a_shorter_row_fills_the_first_buckets_only():
    model = Transformer(ModelConfig(vocab_size=50, context=12, n_layers=1, n_heads=2, d_model=16))
    ids, targets = torch.randint(50, (2, 3, 5))
    _, sums = Objective(model, 0.0, torch.zeros(50))(ids, targets)
    by_position, _ = split_sums(sums.tolist(), 5)
    assert [math.isnan(mean) for mean in by_position] == [False, False, False, False, True]


def test_in_context_is_the_last_bucket_against_one_at_a_tenth():
    starts = position_buckets(256)
    means = [float(len(starts) - i) for i in range(len(starts))]
    found = signals.position_losses(starts, means)
    assert found["positions/loss/0128"] == means[-1]
    assert found["train/in_context"] == means[-1] - means[starts.index(16)]
    assert "train/in_context" not in signals.position_losses([0], [1.0])


def test_memory_is_that_of_this_process():
    block = torch.ones(64 << 20, dtype=torch.uint8)
    peak = signals.memory_mb(torch.device("cpu"))
    assert 64 < peak < 1e6
    assert block.sum() == 64 << 20
