"""The arithmetic of csrc/attention_cuda.cu, run by a CPU (cuda_library.py); its matrix instructions are imitated.

The last tests run the op itself on a GPU, where there is one.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, replace

import error_rule
import pytest
import torch
from cuda_library import build, pointer
from torch import Tensor

from jarvis_nano.kernels import backends
from jarvis_nano.kernels.attention import op, reference


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
    # Tiles that all see but for one key, on either side.
    Case(T=160, S=190, window=125),
    Case(T=160, S=190, window=125, D=128, dtype=fp16),
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


# A block more than the tiles hold in flight, so that every place in shared memory is used again.
LONG = Case(T=200, S=330, H=2, Hkv=1, window=250)


@pytest.mark.parametrize("D", [64, 128])
@pytest.mark.parametrize(("reversed_threads", "at_once"), [(True, False), (False, True), (True, True)])
def test_neither_the_order_of_threads_nor_the_speed_of_copies_matters(library, D, reversed_threads, at_once):
    operands = replace(LONG, D=D).operands()
    first = run(library, **operands)
    library.run_reversed(reversed_threads)
    library.copy_at_once(at_once)
    second = run(library, **operands)
    library.run_reversed(False)
    library.copy_at_once(False)
    for name, one, other in zip(("out", "lse", "dq", "dk", "dv"), first, second, strict=True):
        assert torch.equal(one, other), name


def test_no_load_of_a_matrix_waits_for_a_bank(library):
    library.count_bank_conflicts.restype = ctypes.c_int64
    for D in (64, 128):
        run(library, **Case(D=D).operands())
    assert library.count_bank_conflicts() == 0


@pytest.mark.parametrize("scale", [-0.2, 1.0])
def test_scores_of_thousands_neither_overflow_nor_vanish(library, scale):
    operands = Case(T=150, S=150).operands() | {"scale": scale}
    operands["q"] = operands["q"] * 40
    # The largest score comes last: each tile raises the running maximum by more than the slack.
    rising = torch.linspace(0.1, 40, 150)[:, None].to(torch.bfloat16)
    operands["k"] = (operands["k"] * rising).contiguous()
    check(run(library, **operands), **operands)


def test_a_maximum_that_grows_a_little_keeps_probabilities_within_float16(library):
    operands = Case(T=130, S=130, dtype=fp16, scale=1.0).operands()
    level = torch.arange(130) // 64 * 17 * math.log(2) / 64  # 17 in base 2 a tile of 64 keys; 2^17 is infinite
    operands["q"] = torch.ones_like(operands["q"])
    operands["k"] = (operands["k"] * 0.01 + level[:, None]).to(fp16)
    check(run(library, **operands), **operands)


@pytest.mark.parametrize(("heads", "tiles", "group"), [(1, 1, 1), (7, 5, 3), (6, 4, 2), (5, 3, 8)])
def test_every_tile_of_every_head_is_taken_once_in_groups_of_heads(library, heads, tiles, group):
    tile, head = (torch.full((heads * tiles,), -1, dtype=torch.int32) for _ in range(2))
    library.find_all(heads, tiles, group, pointer(tile), pointer(head))
    found = list(zip((head // group).tolist(), tile.tolist(), head.tolist(), strict=True))
    assert found == sorted((h // group, t, h) for h in range(heads) for t in range(tiles))


@pytest.mark.parametrize(("T", "S"), [(1, 1), (40, 2500), (2100, 2100)])
@pytest.mark.parametrize(("window", "documents"), [(1, False), (70, False), (None, True), (33, True)])
def test_the_mask_is_the_references(library, T, S, window, documents):
    document = Case(T=T, S=S, B=2, documents=True).operands()["document"] if documents else None
    first = first_visible(library, T, S, window, document, 2)
    mask = reference.visible(T, S, window, document, torch.device("cpu"))[:, 0]
    expected = mask.int().argmax(-1).int().expand(2, T)
    assert torch.equal(first, expected)


def test_keys_without_queries_have_no_gradient(library):
    q, k, v = packed(1, 0, 70, 2, 1, 64, torch.bfloat16, torch.Generator().manual_seed(0))
    *_, dk, dv = run(library, q, k, v, heads_like(q), 0.1)
    assert not dk.any()
    assert not dv.any()


def needs_cuda_kernels() -> None:
    if not backends.has_cuda_kernels():
        pytest.skip("built without CUDA; JARVIS_NANO_CUDA=link python setup.py build_ext --inplace builds it anywhere")


def test_the_linked_op_is_there_for_cuda_tensors():
    needs_cuda_kernels()
    from torch._subclasses.fake_tensor import FakeTensorMode

    for name in ("causal_attention", "causal_attention_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"jarvis_nano::{name}", "CUDA")
    with FakeTensorMode():
        q, k = (torch.empty(2, heads, 5, 64, device="cuda", dtype=torch.float16) for heads in (4, 2))
        out, lse = torch.ops.jarvis_nano.causal_attention(q, k, k, 0.1, None, None)
        dq, dk, dv = torch.ops.jarvis_nano.causal_attention_backward(out, q, k, k, out, lse, 0.1, None, None)
    assert (out.device.type, out.dtype, out.shape, lse.dtype) == ("cuda", torch.float16, q.shape, torch.float32)
    assert (dq.shape, dk.shape, dv.shape) == (q.shape, k.shape, k.shape)


def run_on_gpu(q, k, v, d_out, scale, window=None, document=None):
    kernel = op._compiled()
    q, k, v, d_out = (t.cuda() for t in (q, k, v, d_out))
    document = None if document is None else document.cuda()
    out, lse = kernel.forward(q, k, v, scale, window, document)
    found = out, lse, *kernel.backward(d_out, q, k, v, out, lse, scale, window, document)
    return [t.cpu() for t in found]


LARGE = [Case(T=999, S=999, H=6, Hkv=2, B=2), Case(T=513, S=2049, D=128)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("case", [*CASES, LONG, *LARGE], ids=str)
def test_on_a_gpu_the_op_is_the_reference(case):
    needs_cuda_kernels()
    operands = case.operands()
    found = run_on_gpu(**operands)
    check(found, **operands)
    for name, one, other in zip(("out", "lse", "dq", "dk", "dv"), found, run_on_gpu(**operands), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_operands_may_start_anywhere():
    needs_cuda_kernels()
    operands = Case(T=100, S=100, H=2).operands()
    expected = run_on_gpu(**operands)
    room = torch.zeros(2 * 100 * 64 + 1, dtype=torch.bfloat16, device="cuda")[1:].view(1, 2, 100, 64)
    room.copy_(operands["q"])
    kernel = op._compiled()
    out, _ = kernel.forward(room, operands["k"].cuda(), operands["v"].cuda(), operands["scale"], None, None)
    assert torch.equal(out.cpu(), expected[0])
