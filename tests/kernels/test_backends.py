"""What kernels/backends.py does for every op: a kernel runs where its tensors lie, and brings no compiler along."""

from __future__ import annotations

import subprocess
import sys
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


def test_an_op_runs_without_importing_the_compiler():
    """torch._dynamo, and sympy and triton with it: 160 MB and a second and a half before a chat's first word."""
    program = (
        "import sys, torch\nfrom jarvis_nano import kernels\n"
        "x, w = torch.randn(2, 8), torch.ones(8, requires_grad=True)\n"
        "kernels.layer_norm(x, w).sum().backward()\n"
        "kernels.causal_attention(*torch.randn(3, 1, 1, 4, 8))\n"
        "kernels.linear_cross_entropy(x, w[None].expand(3, 8), torch.tensor([0, 2]))\n"
        "print(*sorted({'torch._dynamo', 'sympy', 'triton'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
