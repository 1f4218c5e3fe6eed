"""Rotary positions in every backend against the maths in float64; docs/rotary.md has it."""

from __future__ import annotations

import error_rule
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.rotary.op import OP

HAS_GPU = torch.cuda.is_available()
DEVICE = {"reference": "cpu", "cpp": "cpu", "triton": "cuda" if HAS_GPU else "cpu"}
BACKENDS = list(DEVICE)
# B, T, H, D: one pair, odd halves, a head count that is no power of two, more tokens than a tile has rows.
UGLY = [(1, 1, 1, 2), (2, 7, 3, 6), (1, 239, 1, 24), (2, 113, 5, 50), (1, 33, 3, 160), (2, 40, 6, 64)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
ATOL = {torch.float32: 1e-6, torch.bfloat16: 1e-2, torch.float16: 1e-3}
CONTEXT = 300


def needs(backend: str) -> None:
    reason = OP.why_not(backend, DEVICE[backend])
    if reason:
        pytest.skip(reason)


def tables(half: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    angle = torch.arange(CONTEXT)[:, None] * 10000.0 ** -(torch.arange(half) / half)
    return angle.cos().to(device), angle.sin().to(device)


def drawn(shape, dtype=torch.float32, device="cpu", seed=0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def torchs(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor) -> Tensor:
    """What a model in plain torch does, all in x's dtype."""
    c, s = cos[positions].unsqueeze(-2).to(x.dtype), sin[positions].unsqueeze(-2).to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * c - second * s, second * c + first * s), dim=-1)


def with_gradient(run, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    y = run(x)
    return y.detach(), torch.autograd.grad(y, x, dy)[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("which", ["none", "shared", "each"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_error_is_at_most_twice_that_of_torch(backend, which, dtype):
    needs(backend)
    for shape in UGLY:
        check_shape(backend, which, dtype, shape)


def check_shape(backend: str, which: str, dtype: torch.dtype, shape: tuple[int, int, int, int]) -> None:
    device, (B, T, _, D) = DEVICE[backend], shape
    x, dy = drawn(shape, dtype, device), drawn(shape, dtype, device, seed=1)
    cos, sin = tables(D // 2, device)
    positions = {
        "none": torch.arange(T),
        "shared": torch.arange(T) + 17,
        "each": torch.randint(0, CONTEXT, (B, T), generator=torch.Generator().manual_seed(2)),
    }[which].to(device)
    given = None if which == "none" else positions
    found = with_gradient(lambda x: kernels.apply_rotary(x, cos, sin, given, backend=backend), x, dy)
    theirs = with_gradient(lambda x: torchs(x, cos, sin, positions), x, dy)
    truth = with_gradient(lambda x: torchs(x, cos.double(), sin.double(), positions), x.double(), dy.double())
    for name, ours, torch_s, exact in zip(("y", "dx"), found, theirs, truth):
        assert ours.dtype == dtype
        assert ours.is_contiguous()
        error_rule.check(f"{name} {shape}", ours, torch_s, exact, ATOL[dtype])


def test_the_references_gradient_is_the_derivative():
    x = drawn((2, 5, 3, 8), torch.float64).requires_grad_()
    cos, sin = (table.double() for table in tables(4))
    positions = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    assert torch.autograd.gradcheck(lambda x: kernels.apply_rotary(x, cos, sin, backend="reference"), x)
    assert torch.autograd.gradcheck(lambda x: kernels.apply_rotary(x, cos, sin, positions, backend="reference"), x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_packed_projection_is_read_in_place_and_strides_do_not_matter(backend):
    needs(backend)
    device = DEVICE[backend]
    packed = drawn((2, 19, 7, 16), device=device)
    cos, sin = tables(8, device)

    def run(x, dy):
        return with_gradient(lambda x: kernels.apply_rotary(x, cos, sin, backend=backend), x, dy)

    heads = packed[:, :, 1:6]
    dy = drawn((2, 19, 5, 16), device=device, seed=1)
    expected = run(heads.contiguous(), dy)
    other = dy.transpose(1, 2).contiguous().transpose(1, 2)
    across = heads.transpose(0, 3).contiguous().transpose(0, 3)
    for x, d in ((heads, other), (across, dy), (heads, dy.transpose(0, 3).contiguous().transpose(0, 3))):
        for ours, wanted in zip(run(x, d), expected):
            assert torch.equal(ours, wanted)
    one = torch.ones((), device=device).expand(dy.shape)  # what sum().backward() sends
    assert torch.equal(run(heads, one)[1], run(heads, torch.ones_like(dy))[1])
    positions = torch.arange(38, device=device).view(2, 19)
    strided = positions.t().contiguous().t()
    a, b = (kernels.apply_rotary(heads, cos, sin, p, backend=backend) for p in (positions, strided))
    assert torch.equal(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_gives_nothing(backend):
    needs(backend)
    for shape in ((0, 4, 2, 8), (2, 0, 2, 8), (2, 4, 0, 8), (2, 4, 2, 0)):
        x = torch.zeros(shape, device=DEVICE[backend], requires_grad=True)
        y = kernels.apply_rotary(x, *tables(shape[3] // 2, DEVICE[backend]), backend=backend)
        y.sum().backward()
        assert y.shape == x.grad.shape == shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_repeats_are_equal_bit_for_bit(backend):
    needs(backend)
    x, dy = (drawn((2, 90, 3, 32), device=DEVICE[backend], seed=seed) for seed in (0, 1))
    cos, sin = tables(16, DEVICE[backend])
    runs = [with_gradient(lambda x: kernels.apply_rotary(x, cos, sin, backend=backend), x, dy) for _ in range(3)]
    assert all(torch.equal(a, b) for run in runs for a, b in zip(run, runs[0]))


@pytest.mark.parametrize("backend", ["cpp", "triton"])
def test_opcheck(backend):
    needs(backend)
    device = DEVICE[backend]
    x, (cos, sin) = drawn((2, 5, 3, 8), device=device), tables(4, device)
    kernels.apply_rotary(x, cos, sin, backend=backend)  # a choice loads the kernel and with it the registration
    ops, overload = torch.ops.jarvis_nano, "triton" if backend == "triton" else "default"
    for positions in (None, torch.arange(5, device=device) + 2, torch.arange(10, device=device).view(2, 5)):
        for op in (getattr(ops.rotary, overload), getattr(ops.rotary_backward, overload)):
            torch.library.opcheck(op, (x[:, :, 1:], cos, sin, positions))


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_in_one_graph_gives_what_eager_gives(backend):
    needs(backend)
    torch._dynamo.reset()
    device = DEVICE[backend]
    x, dy = drawn((2, 9, 3, 16), device=device), drawn((2, 9, 3, 16), device=device, seed=1)
    cos, sin = tables(8, device)

    def step(x):
        return kernels.apply_rotary(x * 2, cos, sin, torch.arange(9, device=device) + 1, backend=backend) + 1

    compiled = torch.compile(step, fullgraph=True, backend="inductor" if backend == "cpp" else "aot_eager")
    for ours, eager in zip(with_gradient(compiled, x, dy), with_gradient(step, x, dy)):
        torch.testing.assert_close(ours, eager)


def test_fake_tensors_on_cuda_pass_through_the_op():
    if OP.why_not("triton", "cuda"):
        pytest.skip("no triton")
    with FakeTensorMode():
        x = torch.empty(4, 6, 3, 8, device="cuda", dtype=torch.bfloat16)
        table = torch.empty(10, 4, device="cuda")
        y = kernels.apply_rotary(x, table, table, backend="triton")
    assert (y.device.type, y.dtype, y.shape) == ("cuda", torch.bfloat16, (4, 6, 3, 8))


def test_a_position_beyond_the_tables_shows():
    x, (cos, sin) = drawn((1, 3, 2, 8)), tables(4)
    beyond = torch.tensor([0, CONTEXT, 1])
    with pytest.raises(IndexError):
        kernels.apply_rotary(x, cos, sin, beyond, backend="reference")
    if not OP.why_not("cpp", "cpu"):
        for positions in (beyond, beyond[None], -beyond):
            with pytest.raises(IndexError, match=f"{CONTEXT} of token 1 is out of range for tables of {CONTEXT}"):
                kernels.apply_rotary(x, cos, sin, positions, backend="cpp")
        with pytest.raises(IndexError):
            torch.ops.jarvis_nano.rotary_backward(x, cos, sin, beyond)
    needs("triton")
    x, cos, sin, beyond = (t.to(DEVICE["triton"]) for t in (x, cos, sin, beyond))
    for positions in (beyond, torch.where(beyond == CONTEXT, -1, beyond)):
        y = kernels.apply_rotary(x, cos, sin, positions, backend="triton")
        assert y.isnan().all(-1).all(-1).tolist() == [[False, True, False]]
        assert not y[:, ::2].isnan().any()


@pytest.mark.parametrize(
    ("shape", "half", "positions", "says"),
    [
        ((2, 3, 8), 4, None, r"x \(2, 3, 8\): expected \(batch"),
        ((2, 3, 1, 7), 3, None, "even width"),
        ((2, 3, 1, 8), 3, None, r"heads of width 8; expected \(context, 4\)"),
        ((1, CONTEXT + 1, 1, 8), 4, None, f"{CONTEXT + 1} tokens, but cos and sin have {CONTEXT} positions"),
        ((2, 3, 1, 8), 4, torch.arange(4), r"expected \(3,\) or \(2, 3\)"),
        ((2, 3, 1, 8), 4, torch.zeros(3), "in torch.int64"),
    ],
)
def test_what_does_not_fit_says_why(shape, half, positions, says):
    with pytest.raises(UserError, match=says):
        kernels.apply_rotary(torch.zeros(shape), *tables(half), positions)


def test_the_raw_op_checks_before_it_reads_memory():
    needs("cpp")
    x, (cos, sin) = drawn((2, 3, 2, 8)), tables(4)
    kernels.apply_rotary(x, cos, sin, backend="cpp")  # a choice loads the compiled kernels
    turn = torch.ops.jarvis_nano.rotary.default
    for arguments, says in (
        ((x.double(), cos, sin, None), "dtype that this kernel does not take"),
        ((x[0], cos, sin, None), "expected \\(batch, time, heads, width\\)"),
        ((x, cos[:, :3], sin[:, :3], None), "cos and sin must have \\(context, 4\\)"),
        ((x, cos[:2], sin, None), "cos and sin must have"),
        ((x, cos[:2], sin[:2], None), "3 tokens, but cos and sin have 2 positions"),
        ((x, cos, sin, torch.zeros(4, dtype=torch.int64)), "expected \\(T\\) or \\(B, T\\) in int64"),
        ((x, cos, sin, torch.zeros(3)), "in int64"),
    ):
        with pytest.raises(RuntimeError, match=says):
            turn(*arguments)
