"""The arithmetic of csrc/attention_cuda.cu, run by a CPU (cuda_library.py); its matrix instructions are imitated."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import error_rule
import pytest
import torch
from cuda_library import build, pointer
from torch import Tensor

from jarvis_nano.kernels.attention import reference


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    return build("attention", tmp_path_factory.mktemp("cuda"))


def call(library, direction: str, tensors: list[Tensor], lse: Tensor, scale: float, first: Tensor | None) -> None:
    q, k = tensors[:2]
    B, H, T, D = q.shape
    shape = (ctypes.c_int64 * 6)(B, H, k.shape[1], T, k.shape[2], D)
    data = (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))
    strides = (ctypes.c_int64 * (3 * len(tensors)))(*(s for t in tensors for s in t.stride()[:3]))
    function = getattr(library, f"{direction}_{str(q.dtype).removeprefix('torch.')}")
    function(shape, ctypes.c_float(scale), pointer(first), data, strides, pointer(lse))


def first_visible(library, T: int, S: int, window: int | None, document: Tensor | None, B: int) -> Tensor | None:
    if window is None and document is None:
        return None
    first = torch.full((B, T), -1, dtype=torch.int32)
    ids = None if document is None else document.int()
    shape = (ctypes.c_int64 * 6)(B, 1, 1, T, S, 64)
    library.first_visible(shape, ctypes.c_int64(window or 0), pointer(ids), pointer(first))
    return first


def heads_like(tensor: Tensor) -> Tensor:
    """(B, H, T, D) that lies as (B, T, H, D), full of NaN."""
    B, H, T, D = tensor.shape
    return torch.full((B, T, H, D), torch.nan, dtype=tensor.dtype).transpose(1, 2)


def run(library, q, k, v, d_out, scale, window=None, document=None):
    """out, lse, dq, dk, dv of the CUDA kernels."""
    B, H, T, _ = q.shape
    first = first_visible(library, T, k.shape[2], window, document, B)
    out, lse = heads_like(q), torch.full((B, H, T), torch.nan)
    call(library, "forward", [q, k, v, out], lse, scale, first)
    dq, dk, dv = map(heads_like, (q, k, v))
    call(library, "backward", [q, k, v, out, d_out, dq, dk, dv], lse, scale, first)
    return out, lse, dq, dk, dv


def check(found, q, k, v, d_out, scale, window=None, document=None):
    """By the error rule: against float64, beside the same steps with every result rounded to the operands' dtype."""
    wide = [t.double() for t in (q, k, v, d_out)]
    true_out, true_lse = reference.forward(*wide[:3], scale, window, document)
    truth = reference.backward(wide[3], *wide[:3], true_out, true_lse, scale, window, document)
    theirs = in_steps(q, k, v, d_out, scale, window, document)
    out, lse, *gradients = found
    torch.testing.assert_close(lse, true_lse.float(), rtol=1e-5, atol=1e-4)
    names = ("out", "dq", "dk", "dv")
    for name, ours, their, true in zip(names, (out, *gradients), theirs, (true_out, *truth), strict=True):
        assert torch.isfinite(ours).all(), name
        error_rule.check(name, ours, their, true, 1e-3)


def in_steps(q, k, v, d_out, scale, window, document):
    """What plain PyTorch gives in q's dtype: out, dq, dk, dv."""
    group = q.shape[1] // k.shape[1]
    q, k, v = (t.detach().clone().requires_grad_() for t in (q, k, v))
    mask = reference.visible(q.shape[2], k.shape[2], window, document, q.device)
    scores = q @ k.repeat_interleave(group, 1).transpose(-1, -2) * scale
    out = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v.repeat_interleave(group, 1)
    return (out.detach(), *torch.autograd.grad(out, (q, k, v), d_out))


@dataclass(frozen=True)
class Case:
    T: int = 130
    S: int = 130
    H: int = 1
    Hkv: int = 1
    D: int = 64
    B: int = 1
    dtype: torch.dtype = torch.bfloat16
    window: int | None = None
    documents: bool = False
    scale: float | None = None

    def __str__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return ",".join(f"{name}={value}" for name, value in fields if value != getattr(Case, name)) or "plain"

    def operands(self) -> dict:
        generator = torch.Generator().manual_seed(0)
        q, k, v = packed(self.B, self.T, self.S, self.H, self.Hkv, self.D, self.dtype, generator)
        d_out = heads_like(q)
        d_out.copy_(torch.randn(q.shape, generator=generator))
        # Runs of 1 to 60 positions; ids that come back are other documents.
        ids = torch.randint(1, 60, (self.B, self.S), generator=generator).cumsum(1)
        document = torch.searchsorted(ids, torch.arange(self.S).expand(self.B, -1).contiguous(), right=True) % 3
        scale = 1 / math.sqrt(self.D) if self.scale is None else self.scale
        return {"q": q, "k": k, "v": v, "d_out": d_out, "scale": scale, "window": self.window,
                "document": document if self.documents else None}  # fmt: skip


def packed(B, T, S, H, Hkv, D, dtype, generator):
    """q, k and v as views of one projection; the queries are its last T positions."""
    qkv = torch.randn(B, S, H + 2 * Hkv, D, generator=generator).to(dtype)
    q, k, v = qkv.transpose(1, 2).split((H, Hkv, Hkv), 1)
    return q[:, :, S - T :], k, v


fp16 = torch.float16
CASES = [
    Case(T=1, S=1),
    Case(T=65, S=65, D=128),
    Case(T=65, S=65, B=2, dtype=fp16),
    Case(),
    Case(D=128, dtype=fp16),
    Case(T=257, S=257),
    Case(T=1, S=300),
    Case(T=3, S=200, D=128),
    Case(T=70, S=200, H=2, dtype=fp16),
    Case(T=100, S=100, H=4, Hkv=2, B=2),
    Case(T=100, S=100, H=3, Hkv=1, D=128),
    Case(T=200, S=200, window=1),
    Case(T=200, S=200, window=37, D=128, dtype=fp16),
    Case(T=140, S=300, window=64, H=2, Hkv=1),
    Case(T=200, S=200, documents=True, B=2),
    Case(T=150, S=220, documents=True, D=128, H=2, Hkv=1),
    Case(T=200, S=200, documents=True, window=20, B=2, dtype=fp16),
    Case(T=65, S=65, scale=-0.3),
    Case(T=65, S=65, scale=0.0),
    Case(T=70, S=70, scale=3.0, D=128),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_reference(library, case):
    operands = case.operands()
    check(run(library, **operands), **operands)
