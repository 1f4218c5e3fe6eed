"""The small cases of an op by a backend, for the memory checker: `small_calls.py OP BACKEND`."""

from __future__ import annotations

import sys

import torch
from gpu_case import DEVICE
from gpu_cases import small


def run(op: str, backend: str) -> int:
    """How many calls were made."""
    calls = 0
    for case, dtype in small(op, backend):
        found = case.ours(case.inputs(dtype), backend)
        assert all(not tensor.is_floating_point() or tensor.isfinite().all() for tensor in found.values()), case.name
        calls += 1
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return calls


if __name__ == "__main__":
    print(run(*sys.argv[1:]), "calls")
