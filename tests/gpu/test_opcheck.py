"""torch's own checks of each registered op on tensors of the GPU, and torch.compile of each public function."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from gpu_case import PAIRS, REHEARSAL, differentiated, needs
from gpu_cases import of_op, small
from torch import Tensor

from jarvis_nano.kernels import backends
from jarvis_nano.kernels.backends import Kernel


def copied(argument):
    """The argument as a tensor of its own with the same strides, without a gradient."""
    if isinstance(argument, Tensor):
        detached = argument.detach()
        return detached if 0 in detached.stride() else detached.clone(memory_format=torch.preserve_format)
    return [copied(each) for each in argument] if isinstance(argument, list) else argument


def recorded(case, dtype, backend: str, monkeypatch) -> list[tuple]:
    """(op, arguments) of the calls that a case makes to the registered ops."""
    kernels, calls = backends.all_ops()[case.op].kernels, []
    inputs = case.inputs(dtype)
    case.ours(inputs, backend)  # loads the kernel
    real = kernels[backend]

    def recording(function):
        def call(*arguments):
            calls.append((function, [copied(argument) for argument in arguments]))
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setitem(kernels, backend, Kernel(*(recording(function) for function in real)))
        case.ours(inputs, backend)
    return calls


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_opcheck(op, backend, monkeypatch):
    needs(op, backend)
    cases = [(case, dtype) for case, dtype in small(op, backend) if dtype == case.dtypes_of(backend)[0]]
    for case, dtype in cases[-1:] if REHEARSAL else cases[-3:]:
        calls = recorded(case, dtype, backend, monkeypatch)
        assert calls
        for registered, arguments in calls:
            torch.library.opcheck(registered, tuple(arguments))


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_compiled_in_one_graph_gives_what_eager_gives(op, backend):
    needs(op, backend)
    seen = set()
    for case in of_op(op, "small"):
        kind = case.name.partition("-")[0] if op in ("activation", "layer_norm") else ""  # the public functions apart
        if kind in seen or not case.dtypes_of(backend):
            continue
        seen.add(kind)
        torch._dynamo.reset()
        inputs = case.inputs(case.dtypes_of(backend)[0])

        def call(tensors, case=case):
            return case.run(tensors, backend)

        compiled = torch.compile(call, fullgraph=True, backend="aot_eager" if REHEARSAL else "inductor")
        found, eager = (differentiated(function, inputs, case.wrt) for function in (compiled, call))
        assert found.keys() == eager.keys()
        for name, tensor in eager.items():
            torch.testing.assert_close(found[name], tensor, msg=partial("{}, {}: {}".format, case.name, name))
