"""What kernels/backends.py does for every op: here, that a kernel runs where its tensors lie."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from jarvis_nano.kernels import backends


@pytest.mark.parametrize(("gpu_of_the_tensor", "gpu_of_the_launch"), [(0, 0), (1, 1)])
@pytest.mark.parametrize("in_a_list", [False, True])
def test_triton_launches_on_the_gpu_of_the_tensors(monkeypatch, gpu_of_the_tensor, gpu_of_the_launch, in_a_list):
    current = [0]

    @contextmanager
    def made_current(device):
        before, current[0] = current[0], device.index
        yield
        current[0] = before

    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[0])
    monkeypatch.setattr(torch.cuda, "device", made_current)
    device = torch.device("cuda", gpu_of_the_tensor)
    tensor = SimpleNamespace(is_cuda=True, device=device, get_device=lambda: device.index)
    launch = backends.on_the_tensors_gpu(lambda *arguments: current[0])
    assert launch([tensor] if in_a_list else tensor, 1.0) == gpu_of_the_launch
    assert current == [0]
