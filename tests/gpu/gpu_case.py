"""What a case is: inputs, the op on them by a backend of ours, and the same by torch, with every gradient."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from jarvis_nano.kernels import backends

REHEARSAL = os.environ.get("JARVIS_NANO_GPU_REHEARSAL") == "1"
DEVICE = torch.device("cpu" if REHEARSAL else "cuda")
DTYPES = (torch.float32, torch.float16) if REHEARSAL else (torch.bfloat16, torch.float16, torch.float32)
# Half a unit in the last place at 1, what a rounding more than torch may cost; float32: 64 such, for sums over rows.
ATOL = {torch.float32: 4e-6, torch.bfloat16: 2e-3, torch.float16: 2.5e-4}
PAIRS = [(op.name, b) for op in backends.all_ops().values() for b in ("triton", "cuda") if b in op.load]
if REHEARSAL:
    PAIRS = [pair for pair in PAIRS if pair[1] == "triton"]

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One call. Of an output "y" the gradient sent back is the input "dy"; outputs without one are not differentiated.

    size: "small" cases also go through the memory checker, opcheck, torch.compile and the rehearsal; the "medium" one
    of an op is repeated and captured.
    """

    op: str
    name: str
    draw: Callable[[torch.Generator, torch.dtype], Tensors]
    run: Callable[[Tensors, str], Tensors]  #: ours, by the backend named
    of_torch: Callable[[Tensors], Tensors]  #: in the dtype of the tensors given
    wrt: tuple[str, ...]
    size: str = "large"
    width: int = 1  #: of the last dimension, which backends may limit
    dtypes: tuple[torch.dtype, ...] = DTYPES
    atol: float | None = None

    def inputs(self, dtype: torch.dtype, seed: int = 0) -> Tensors:
        generator = torch.Generator(DEVICE).manual_seed(zlib.crc32(self.name.encode()) + seed)
        return self.draw(generator, dtype)

    def ours(self, inputs: Tensors, backend: str) -> Tensors:
        return differentiated(lambda t: self.run(t, backend), inputs, self.wrt)

    def theirs(self, inputs: Tensors) -> Tensors:
        return differentiated(self.of_torch, inputs, self.wrt)

    def dtypes_of(self, backend: str) -> list[torch.dtype]:
        """Those that the backend takes at this width."""
        op = backends.all_ops()[self.op]
        if self.width not in op.widths.get(backend, (self.width,)):
            return []
        # AdamW's cases differ in the dtype of the gradients; the weights, by which it chooses, are float32.
        taken = DTYPES if self.op == "adamw_step" else op.dtypes.get(backend, DTYPES)
        return [dtype for dtype in self.dtypes if dtype in taken and dtype in DTYPES]


def differentiated(run: Callable[[Tensors], Tensors], inputs: Tensors, wrt: tuple[str, ...]) -> Tensors:
    """The results of run(inputs), and "d <name>" of each input in `wrt`."""
    leaves = {name: inputs[name].detach().requires_grad_() for name in wrt}
    outputs = run({**inputs, **leaves})
    gradients = {}
    if wrt:
        sent = [name for name in outputs if f"d{name}" in inputs]
        found = torch.autograd.grad(
            [outputs[name] for name in sent],
            list(leaves.values()),
            [inputs[f"d{name}"].to(outputs[name].dtype) for name in sent],
        )
        gradients = {f"d {name}": gradient for name, gradient in zip(wrt, found, strict=True)}
    return {**{name: output.detach() for name, output in outputs.items()}, **gradients}


def in_double(inputs: Tensors) -> Tensors:
    return {name: t.double() if t.is_floating_point() else t for name, t in inputs.items()}


def bits(tensor: Tensor) -> Tensor:
    """The tensor's bytes as whole numbers: NaN equals itself, and -0 is not 0."""
    return tensor.contiguous().view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize])


def needs(op: str, backend: str) -> None:
    """Skips where the backend cannot run at all, with its reason."""
    if reason := backends.all_ops()[op].why_not(backend, DEVICE.type):
        pytest.skip(reason)


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
