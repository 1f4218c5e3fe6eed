"""A family's history is bounded, spread over the whole run, and the same after a resume."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.observe.families import MAX_COLUMNS, Families, thin


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=300), st.integers(2, 50))
def test_thinning_keeps_the_ends_and_leaves_no_large_gap(steps, limit):
    steps = sorted(steps)
    kept = thin(steps, limit)
    assert kept == sorted(set(kept))
    assert len(kept) <= limit
    assert kept[0] == 0
    assert kept[-1] == len(steps) - 1
    if len(steps) <= limit:
        assert len(kept) == len(steps)
    width = (steps[-1] - steps[0]) / (limit - 1)
    for wanted in np.linspace(steps[0], steps[-1], limit):
        nearest = min(abs(step - wanted) for step in steps)
        assert min(abs(steps[place] - wanted) for place in kept) == pytest.approx(nearest, abs=width * 1e-6)


def test_members_come_in_the_order_of_the_model_and_gaps_are_nan():
    families = Families()
    families.add({"step": 10, "time": 1.0, "train/loss": 5.0, "layers/x/final": 3.0, "layers/x/10": 2.0})
    families.add({"step": 10, "layers/x/2": 1.0, "spectrum/r/blocks.10.w": 1.0, "spectrum/r/blocks.9.w": 2.0})
    families.add({"step": 20, "layers/x/embedding": 0.5, "layers/x/2": 7.0})
    assert families.names() == ["layers/x", "spectrum/r"]
    steps, members, values = families.table("layers/x")
    assert steps == [10, 20]
    assert members == ["embedding", "2", "10", "final"]
    np.testing.assert_array_equal(values, [[np.nan, 0.5], [1.0, 7.0], [2.0, np.nan], [3.0, np.nan]])
    families.add({"step": 20, "spectrum/r/blocks.9.v": 3.0})
    assert families.table("spectrum/r")[1] == ["blocks.9.v", "blocks.9.w", "blocks.10.w"]


def test_memory_is_bounded_and_the_picture_spans_the_run():
    families = Families()
    for step in range(1, 5001):
        families.add({"step": step, "heads/x/00.00": float(step)})
    assert len(families._families["heads/x"].columns) <= 2 * MAX_COLUMNS
    steps, _, values = families.table("heads/x")
    assert len(steps) <= MAX_COLUMNS
    assert (steps[0], steps[-1]) == (1, 5000)
    assert max(np.diff(steps)) <= 3 * 5000 / MAX_COLUMNS
    np.testing.assert_array_equal(values[0], steps)
