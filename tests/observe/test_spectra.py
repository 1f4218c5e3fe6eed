"""Singular values against LAPACK's own, and ranks of matrices whose ranks are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jarvis_nano.config import ModelConfig
from jarvis_nano.model import Transformer
from jarvis_nano.observe.spectra import effective_rank, singular_values, spectra, stable_rank

GROUPED = ModelConfig(vocab_size=50, context=16, n_layers=2, n_heads=4, n_kv_heads=2, d_model=32, mlp="swiglu", d_ff=40)


def expected_matrices(model: Transformer) -> dict[str, np.ndarray]:
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    found = {name: weights[name] for name in ("token_embedding.weight", "position_embedding.weight")}
    for layer in range(2):
        here = f"blocks.{layer}"
        qkv, up = weights[f"{here}.attention.qkv.weight"], weights[f"{here}.mlp.up.weight"]
        found |= {
            f"{here}.attention.q.weight": qkv[:32],
            f"{here}.attention.k.weight": qkv[32:48],
            f"{here}.attention.v.weight": qkv[48:],
            f"{here}.attention.out.weight": weights[f"{here}.attention.out.weight"],
            f"{here}.mlp.gate.weight": up[:40],
            f"{here}.mlp.up.weight": up[40:],
            f"{here}.mlp.down.weight": weights[f"{here}.mlp.down.weight"],
        }
    return found


def test_each_matrix_has_the_ranks_that_numpy_finds():
    torch.manual_seed(0)
    model = Transformer(GROUPED)
    numbers, values = spectra(model), singular_values(model)
    expected = expected_matrices(model)
    assert values.keys() == expected.keys()
    assert len(numbers) == 2 * len(expected)
    for name, matrix in expected.items():
        sigma = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
        np.testing.assert_allclose(values[name].numpy()[::-1], sigma, rtol=1e-8, err_msg=name)
        frobenius, spectral = np.linalg.norm(matrix), np.linalg.norm(matrix, 2)
        assert numbers[f"spectrum/stable_rank/{name}"] == pytest.approx(frobenius**2 / spectral**2, rel=1e-4)
        shares = sigma / sigma.sum()
        entropy = -sum(share * math.log(share) for share in shares)
        assert numbers[f"spectrum/effective_rank/{name}"] == pytest.approx(math.exp(entropy), rel=1e-6)


def test_a_head_of_its_own_is_measured_too():
    names = singular_values(Transformer(ModelConfig(n_layers=1, d_model=8, n_heads=1, tie_embeddings=False))).keys()
    assert "head.weight" in names


def test_planted_ranks_are_found():
    torch.manual_seed(0)
    model = Transformer(GROUPED)
    block = model.blocks[0]
    with torch.no_grad():
        torch.nn.init.orthogonal_(block.attention.out.weight)
        block.mlp.down.weight.copy_(torch.outer(torch.randn(32), torch.randn(40)))
        block.attention.qkv.weight[:32].zero_()
        block.mlp.up.weight[3, 3] = math.nan
    numbers = spectra(model)
    ranks = {
        name: (numbers[f"spectrum/stable_rank/blocks.0.{name}"], numbers[f"spectrum/effective_rank/blocks.0.{name}"])
        for name in ("attention.out.weight", "mlp.down.weight", "attention.q.weight", "mlp.gate.weight")
    }
    assert ranks["attention.out.weight"] == pytest.approx((32, 32), rel=1e-5)
    assert ranks["mlp.down.weight"] == pytest.approx((1, 1), rel=1e-4)
    assert ranks["attention.q.weight"] == (0, 0)
    assert all(map(math.isnan, ranks["mlp.gate.weight"]))
    assert all(math.isfinite(value) for tag, value in numbers.items() if "blocks.0.mlp.gate" not in tag)


def test_ranks_do_not_depend_on_the_scale():
    values = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    for scale in (1e-160, 1.0, 1e160):
        assert stable_rank(values * scale) == pytest.approx(21 / 16)
        assert effective_rank(values * scale) == pytest.approx(effective_rank(values))
