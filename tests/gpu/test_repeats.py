"""A thousand runs of each kernel, forward and backward, with the same bits: no atomics, no races."""

from __future__ import annotations

import pytest
import torch
from gpu_case import DEVICE, PAIRS, REHEARSAL, bits, needs
from gpu_cases import medium

REPEATS = 3 if REHEARSAL else 1000


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_repeats_are_equal_bit_for_bit(op, backend):
    needs(op, backend)
    case = medium(op)
    inputs = case.inputs(case.dtypes_of(backend)[0])
    first = {name: bits(tensor).clone() for name, tensor in case.ours(inputs, backend).items()}
    differing = dict.fromkeys(first, torch.zeros((), dtype=torch.int64, device=DEVICE))
    for _ in range(REPEATS):
        for name, tensor in case.ours(inputs, backend).items():
            differing[name] = differing[name] + (bits(tensor) != first[name]).sum()
    counts = {name: count.item() for name, count in differing.items()}  # the first wait for the GPU
    assert not any(counts.values()), f"values that differ in {REPEATS} repeats: {counts}"
