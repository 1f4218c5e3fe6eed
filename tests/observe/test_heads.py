"""Head patterns: on attention made by hand, and on a model whose weights were set to be an induction circuit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jarvis_nano.config import ModelConfig
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.observe.heads import PATTERNS, head_patterns, pattern_masses, random_ids

T = 16  # context, width of a head, and vocabulary: one direction for each


def circuit() -> Transformer:
    """Two layers of three heads, the stream's 48 columns being position, token, and previous token, each one-hot.

    Layer 0: head 0 looks at the previous token and writes it into the third part, head 1 looks at equal tokens.
    Layer 1: head 2 looks where the previous token is the query's own. All other heads look at everything alike.
    """
    config = ModelConfig(vocab_size=T, context=T, n_layers=2, n_heads=3, d_model=3 * T, norm="rmsnorm")
    model = Transformer(config)
    one = torch.eye(T)
    position, token, previous = (slice(i * T, (i + 1) * T) for i in range(3))

    def q(head):
        return slice(head * T, (head + 1) * T)

    def k(head):
        return slice((3 + head) * T, (4 + head) * T)

    with torch.no_grad():
        for block in model.blocks:
            for weight in (block.attention.qkv.weight, block.attention.out.weight, block.mlp.down.weight):
                weight.zero_()
        model.token_embedding.weight.zero_()[:, token] = one
        model.position_embedding.weight.zero_()[:, position] = one
        first, second = (block.attention for block in model.blocks)
        first.qkv.weight[q(0), position] = 20 * one
        first.qkv.weight[k(0), position] = one.roll(1, 0)  # position s is the key of query s + 1
        first.qkv.weight[6 * T : 7 * T, token] = one  # head 0's value
        first.out.weight[previous, :T] = one
        first.qkv.weight[q(1), token] = 20 * one
        first.qkv.weight[k(1), token] = one
        second.qkv.weight[q(2), token] = 20 * one
        second.qkv.weight[k(2), previous] = one
    return model


def test_a_planted_circuit_is_named_head_by_head():
    numbers = head_patterns(circuit(), length=T, n_rows=3)
    # n = 8 and 8 ordinary ids, so each is there twice: half the mass on itself, half on its earlier self
    assert numbers["heads/previous_token/00.00"] == pytest.approx(1.0, abs=1e-4)
    assert numbers["heads/duplicate/00.01"] == pytest.approx(0.5, abs=1e-4)
    # All of it but at t = n, whose token stands at 0: with no past, position 0 took its own token for the previous one
    assert numbers["heads/induction/01.02"] == pytest.approx((7 + 0.5) / 8, abs=1e-4)
    chance = np.mean([1 / (t + 1) for t in range(8, 16)])
    idle = ("01.00", "01.01", "00.02")
    for name in PATTERNS:
        assert [numbers[f"heads/{name}/{head}"] for head in idle] == pytest.approx([chance] * 3, rel=1e-4)
        best = max(value for tag, value in numbers.items() if tag.startswith(f"heads/{name}/"))
        assert numbers[f"probe/{name}_best"] == best
    assert numbers["heads/induction/00.00"] < 1e-3  # the first layer has no previous token to look for
    assert len(numbers) == 3 * 6 + 3


def test_masses_are_those_of_three_loops():
    rng = np.random.default_rng(0)
    n, rows, heads = 5, 2, 3
    p = rng.random((rows, heads, 2 * n, 2 * n))
    expected = np.zeros((3, heads))
    for head in range(heads):
        for place, back in enumerate((1, n, n - 1)):
            looks = [p[row, head, t, t - back] for row in range(rows) for t in range(n, 2 * n)]
            expected[place, head] = np.mean(looks)
    np.testing.assert_allclose(pattern_masses(torch.from_numpy(p[:, :, n:])).numpy(), expected)


def test_ids_are_ordinary_distinct_and_the_seeds_own():
    drawn = random_ids(3, 40, low=8, high=60, seed=1)
    assert drawn.min() >= 8
    assert drawn.max() < 60
    assert all(len(set(row.tolist())) == 40 for row in drawn)
    assert torch.equal(drawn, random_ids(3, 40, low=8, high=60, seed=1))
    assert not torch.equal(drawn, random_ids(3, 40, low=8, high=60, seed=2))
    few = random_ids(2, 40, low=8, high=12, seed=1)  # fewer ids than places
    assert set(few.unique().tolist()) <= {8, 9, 10, 11}


def test_the_model_reads_one_half_twice():
    model, seen = circuit(), []
    model.token_embedding.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    head_patterns(model, length=13, n_rows=2, seed=5)
    assert seen[0].shape == (2, 12)
    assert torch.equal(seen[0][:, :6], seen[0][:, 6:])


def test_length_must_fit():
    model = circuit()
    for length in (3, 18):
        with pytest.raises(UserError, match="4 to 16 tokens"):
            head_patterns(model, length=length)
    with pytest.raises(UserError, match="below the vocabulary's 16"):
        head_patterns(model, first_id=16)
