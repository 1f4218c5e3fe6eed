"""CUDA graphs: forward and backward of each kernel, captured once, give on every replay what an eager call gives."""

from __future__ import annotations

import pytest
import torch
from gpu_case import PAIRS, REHEARSAL, bits, needs
from gpu_cases import medium


@pytest.mark.skipif(REHEARSAL, reason="the CPU has no CUDA graphs")
@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_a_captured_call_replays_with_new_values(op, backend):
    needs(op, backend)
    case = medium(op)
    dtype = case.dtypes_of(backend)[0]
    inputs = case.inputs(dtype)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # compiles, and fills caches that must not be filled within a capture
            case.ours(inputs, backend)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = case.ours(inputs, backend)
    for seed in (0, 1):
        for name, fresh in case.inputs(dtype, seed).items():
            if not name.startswith("own ") and 0 not in fresh.stride():
                inputs[name].copy_(fresh)
        for tensor in captured.values():
            tensor.zero_()
        graph.replay()
        replayed = {name: tensor.clone() for name, tensor in captured.items()}
        for name, tensor in case.ours(inputs, backend).items():
            assert torch.equal(bits(replayed[name]), bits(tensor)), f"{name}, seed {seed}"
