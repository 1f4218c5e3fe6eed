"""The multiply-adds that benchmarks/peaks.py times: all are made, and counted right."""

import time

import pytest
import torch

from jarvis_nano.kernels import backends

pytestmark = pytest.mark.skipif(backends.missing_ops() is not None, reason="the compiled kernels are not built")
VALUES = {0: 4 * 8, 1: 12 * 8, 2: 12 * 16}  # in flight, for each instruction set


def test_every_thread_counts():
    values = VALUES[torch.ops.jarvis_nano.cpu_instruction_set()]
    assert torch.ops.jarvis_nano.multiply_add(1000) == torch.get_num_threads() * 1000 * 2 * values


def test_the_loop_is_not_optimised_away():
    began = time.perf_counter()
    flops = torch.ops.jarvis_nano.multiply_add(2**20)
    rate = flops / (time.perf_counter() - began) / torch.get_num_threads()
    assert rate < 1e12  # two units of 16 lanes at 6 GHz make 0.4; a machine at work makes less
