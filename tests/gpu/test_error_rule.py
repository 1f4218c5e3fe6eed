"""Results and every gradient of each kernel against float64: at most twice torch's own error in the same dtype."""

from __future__ import annotations

import error_rule
import pytest
import torch
from gpu_case import ATOL, Case, in_double, needs, short
from gpu_cases import error_cases


def name_of(value: object) -> str | None:
    if isinstance(value, Case):
        return value.name
    return short(value) if isinstance(value, torch.dtype) else None


@pytest.mark.parametrize(("op", "backend", "case", "dtype"), list(error_cases()), ids=name_of)
def test_error_is_at_most_twice_that_of_torch(op, backend, case, dtype):
    needs(op, backend)
    inputs = case.inputs(dtype)
    found, theirs, truth = case.ours(inputs, backend), case.theirs(inputs), case.theirs(in_double(inputs))
    assert found.keys() == truth.keys()
    for name, exact in truth.items():
        scale = max(1.0, exact.abs().max().item()) if exact.numel() else 1.0
        error_rule.check(name, found[name], theirs[name], exact, (case.atol or ATOL[dtype]) * scale)
