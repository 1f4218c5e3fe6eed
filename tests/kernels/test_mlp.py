"""The MLP in one piece against its parts: results, gradients, what is kept."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.activation.op import OP as ACTIVATION

PLAIN = {
    "gelu": F.gelu,
    "relu2": lambda h: F.relu(h).square(),
    "swiglu": lambda h: F.silu(h.chunk(2, -1)[0]) * h.chunk(2, -1)[1],
}


def tensors(kind: str, bias: bool, dtype: torch.dtype = torch.float32) -> list[torch.Tensor | None]:
    torch.manual_seed(0)
    wide = 40 if kind == "swiglu" else 20
    shapes = [(2, 7, 12), (wide, 12), (wide,), (12, 20), (12,)]
    made = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    return [t if bias or t.dim() > 1 else None for t in made]


def gradients(out: torch.Tensor, leaves: list[torch.Tensor | None]) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return torch.autograd.grad(out, [t for t in leaves if t is not None], torch.randn_like(out))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_it_is_its_parts(backend, kind, bias):
    if reason := ACTIVATION.why_not(backend, "cpu"):
        pytest.skip(reason)
    x, up, up_bias, down, down_bias = leaves = tensors(kind, bias)
    ours = kernels.mlp(*leaves, kind=kind, backend=backend)
    theirs = F.linear(PLAIN[kind](F.linear(x, up, up_bias)), down, down_bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for found, wanted in zip(gradients(ours, leaves), gradients(theirs, leaves), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", PLAIN)
def test_gradcheck(kind):
    leaves = tensors(kind, True, torch.float64)
    assert torch.autograd.gradcheck(lambda *t: kernels.mlp(*t, kind=kind, backend="reference"), leaves)


@pytest.mark.parametrize("wanted", range(5))
def test_any_one_gradient_alone(wanted):
    leaves = tensors("gelu", True)
    everything = gradients(kernels.mlp(*leaves, kind="gelu"), leaves)
    alone = [t.detach().requires_grad_(i == wanted) for i, t in enumerate(leaves)]
    (found,) = gradients(kernels.mlp(*alone, kind="gelu"), [alone[wanted]])
    assert torch.equal(found, everything[wanted])


def test_only_one_wide_tensor_is_kept():
    leaves = tensors("gelu", True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        kernels.mlp(*leaves, kind="gelu")
    assert sum(t.shape == (2, 7, 20) for t in kept) == 1


def test_it_compiles():
    leaves = tensors("gelu", True)
    compiled = torch.compile(lambda *t: kernels.mlp(*t, kind="gelu"), fullgraph=True, backend="aot_eager")
    eager = kernels.mlp(*leaves, kind="gelu")
    torch.testing.assert_close(compiled(*leaves), eager)
    for found, wanted in zip(gradients(compiled(*leaves), leaves), gradients(eager, leaves), strict=True):
        torch.testing.assert_close(found, wanted)


def test_what_does_not_fit_is_named():
    x, up, up_bias, down, down_bias = tensors("gelu", True)
    with pytest.raises(UserError, match="kind is 'tanh'"):
        kernels.mlp(x, up, up_bias, down, down_bias, kind="tanh")
    with pytest.raises(UserError, match="do not fit each other in a swiglu"):
        kernels.mlp(x, up, up_bias, down, down_bias, kind="swiglu")
    with pytest.raises(UserError, match="up_bias"):
        kernels.mlp(x, up, down_bias, down, down_bias, kind="gelu")
