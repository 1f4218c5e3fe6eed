"""The arithmetic of csrc/layernorm_cuda.cu, run by a CPU (cuda_library.py)."""

from __future__ import annotations

import ctypes

import error_rule
import pytest
import torch
from cuda_library import build, pointer, sizes

from jarvis_nano.kernels.layernorm import reference


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    return build("layernorm", tmp_path_factory.mktemp("cuda"))


def run(library, x, residual, dy, dtotal, weight, bias):
    """y, total, stats, dx, dweight, dbias of the CUDA kernels; without a bias it is RMSNorm."""
    rows, columns = x.shape
    name, rms = str(x.dtype).removeprefix("torch."), bias is None
    y, total, dx = (empty_like(x) for _ in range(3))
    stats = torch.full((1 if rms else 2, rows), torch.nan)
    mean, rstd = None if rms else stats[0], stats[-1]
    getattr(library, f"forward_{name}")(
        *sizes(rows, columns), *map(pointer, (x, residual, weight, bias, y, total, mean, rstd)), ctypes.c_float(1e-5)
    )
    total = x if residual is None else total
    dweight, dbias = torch.full((columns,), torch.nan), torch.full((columns,), torch.nan)
    getattr(library, f"backward_{name}")(
        *sizes(rows, columns), *map(pointer, (dy, dtotal, total, weight, mean, rstd, dx, dweight)),
        None if rms else pointer(dbias),
    )  # fmt: skip
    return y, total, stats, dx, dweight, None if rms else dbias


def empty_like(x: torch.Tensor) -> torch.Tensor:
    """As far from a multiple of 16 bytes as x."""
    return misaligned(torch.full_like(x, torch.nan)) if x.data_ptr() % 16 else torch.full_like(x, torch.nan)


def misaligned(x: torch.Tensor) -> torch.Tensor:
    room = torch.empty(x.numel() + 1, dtype=x.dtype)
    moved = room[1:].view(x.shape)
    moved.copy_(x)
    assert moved.data_ptr() % 16
    return moved


# float32: 8 and 16 values a thread, one warp a row and more; half precisions: 8, 16, 24 and 32 values.
SHAPES = [
    (torch.float32, (5, 1)),
    (torch.float32, (3, 70)),
    (torch.float32, (270, 8)),
    (torch.float32, (9, 768)),
    (torch.float32, (2, 4096)),
    (torch.float32, (1, 8192)),
    (torch.bfloat16, (9, 300)),
    (torch.bfloat16, (3, 304)),
    (torch.bfloat16, (11, 760)),
    (torch.bfloat16, (3, 8192)),
    (torch.float16, (4, 33)),
    (torch.float16, (17, 8)),
    (torch.float16, (3, 1128)),
    (torch.float16, (2, 4096)),
    (torch.bfloat16, (1, 24576)),
]


@pytest.mark.parametrize("rms", [False, True], ids=["layer", "rms"])
@pytest.mark.parametrize("with_residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize(("dtype", "shape"), SHAPES, ids=str)
def test_it_is_the_reference(library, dtype, shape, with_residual, rms):
    torch.manual_seed(0)
    x, residual, dy, dtotal = (torch.randn(shape).to(dtype) for _ in range(4))
    weight, bias = torch.randn(shape[1]), None if rms else torch.randn(shape[1])
    residual, dtotal = (residual, dtotal) if with_residual else (None, None)
    check(run(library, x, residual, dy, dtotal, weight, bias), x, residual, dy, dtotal, weight, bias)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("operand", range(6))
def test_operands_may_start_anywhere(library, dtype, operand):
    torch.manual_seed(1)
    x, residual, dy, dtotal = (torch.randn(3, 64).to(dtype) for _ in range(4))
    operands = [x, residual, dy, dtotal, torch.randn(64), torch.randn(64)]
    operands[operand] = misaligned(operands[operand])
    check(run(library, *operands), *operands)


def test_registers_and_memory_give_nearly_the_same(library):
    torch.manual_seed(2)
    x, residual, dy, dtotal = (torch.randn(300, 40) for _ in range(4))
    weight, bias = torch.randn(40), torch.randn(40)
    for ours, other in zip(
        run(library, x, residual, dy, dtotal, weight, bias),
        run(library, misaligned(x), residual, misaligned(dy), dtotal, weight, bias),
        strict=True,
    ):
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("columns", [40, 304, 1128, 4096])
def test_the_order_of_threads_changes_nothing(library, columns):
    torch.manual_seed(3)
    x, dy = torch.randn(20, columns).bfloat16(), torch.randn(20, columns).bfloat16()
    weight, bias = torch.randn(columns), torch.randn(columns)
    first = run(library, x, None, dy, None, weight, bias)
    library.run_reversed(True)
    second = run(library, x, None, dy, None, weight, bias)
    library.run_reversed(False)
    for name, one, other in zip(("y", "total", "stats", "dx", "dweight", "dbias"), first, second, strict=True):
        assert torch.equal(one, other), name


def test_no_rows_have_no_gradient(library):
    none = torch.empty(0, 16)
    *_, dx, dweight, dbias = run(library, none, None, none, None, torch.randn(16), torch.randn(16))
    assert dx.shape == (0, 16)
    assert torch.equal(dweight, torch.zeros(16))
    assert torch.equal(dbias, torch.zeros(16))


def check(found, x, residual, dy, dtotal, weight, bias):
    """By the error rule, against the reference in float64, beside the same in x's dtype."""
    rms = bias is None
    y, total, stats, dx, dweight, dbias = found
    total = x if residual is None else total
    wide = [None if t is None else t.double() for t in (x, residual, weight, bias)]
    true_y = reference.forward(*wide, 1e-5, rms)[0]
    their_y, their_total, their_stats = reference.forward(x, residual, weight, bias, 1e-5, rms)
    assert residual is None or torch.equal(total, their_total)
    torch.testing.assert_close(stats, their_stats, rtol=1e-5, atol=1e-6)
    # The gradients of what was stored: its rounding is not the kernel's error.
    stored = total.double(), weight.double(), their_stats.double()
    wide_dtotal = None if dtotal is None else dtotal.double()
    truth = reference.backward(dy.double(), wide_dtotal, *stored, rms, not rms)
    theirs = reference.backward(dy, dtotal, total, weight, their_stats, rms, not rms)
    error_rule.check("y", y, their_y, true_y, 1e-6 if x.dtype == torch.float32 else 1e-5)
    error_rule.check("dx", dx, theirs[0], truth[0], 2e-6 if x.dtype == torch.float32 else 1e-5)
    error_rule.check("dweight", dweight, theirs[1], truth[1], 1e-5)
    if not rms:
        error_rule.check("dbias", dbias, theirs[2], truth[2], 1e-5)
