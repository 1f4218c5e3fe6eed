"""GELU, SwiGLU and ReLU² with their bias in every backend, against torch in float64; the maths: docs/activation.md."""

from __future__ import annotations

import error_rule
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.activation import reference
from jarvis_nano.kernels.activation.op import OP

HAS_GPU = torch.cuda.is_available()
DEVICE = {"reference": "cpu", "cpp": "cpu", "triton": "cuda" if HAS_GPU else "cpu"}
BACKENDS = list(DEVICE)
OURS = [name for name in BACKENDS if name != "reference"]
KINDS = {"gelu": kernels.gelu, "swiglu": kernels.swiglu, "relu_squared": kernels.relu_squared}
# Rows and the width of the result: one value, odd ones, more rows than a tile, columns of several tiles.
UGLY = [(1, 1), (239, 1), (799, 3), (2, 3, 8), (5, 113), (113, 203), (70, 760), (3, 1128)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
ATOL = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}


def needs(backend: str) -> None:
    reason = OP.why_not(backend, DEVICE[backend])
    if reason:
        pytest.skip(reason)


def arguments(kind: str, shape, dtype=torch.float32, device="cpu", seed=0) -> tuple[Tensor, Tensor, Tensor]:
    """x, bias (float32, as a parameter is) and dy for a result of this shape."""
    generator = torch.Generator().manual_seed(seed)
    wide = (*shape[:-1], shape[-1] * 2) if kind == "swiglu" else shape
    x, bias, dy = (torch.randn(s, generator=generator) for s in (wide, wide[-1:], shape))
    return (x * 2).to(device, dtype), bias.to(device), dy.to(device, dtype)


def torchs(kind: str, x: Tensor, bias: Tensor | None) -> Tensor:
    h = x if bias is None else x + bias.to(x.dtype)
    if kind == "gelu":
        return F.gelu(h)
    if kind == "relu_squared":
        return F.relu(h).square()
    gate, value = h.chunk(2, dim=-1)
    return F.silu(gate) * value


def with_gradients(run, x: Tensor, bias: Tensor | None, dy: Tensor) -> dict[str, Tensor]:
    leaves = [t.detach().requires_grad_() for t in (x, bias) if t is not None]
    y = run(leaves[0], leaves[1] if bias is not None else None)
    return {"y": y.detach(), **dict(zip(("dx", "dbias"), torch.autograd.grad(y, leaves, dy)))}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_error_is_at_most_twice_that_of_torch(backend, kind, with_bias, dtype):
    needs(backend)
    for shape in UGLY:
        check_shape(backend, kind, with_bias, dtype, shape)


def check_shape(backend: str, kind: str, with_bias: bool, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x, bias, dy = arguments(kind, shape, dtype, DEVICE[backend])
    bias = bias if with_bias else None
    found = with_gradients(lambda x, b: KINDS[kind](x, b, backend=backend), x, bias, dy)
    theirs = with_gradients(lambda x, b: torchs(kind, x, b), x, bias, dy)
    wide_bias = None if bias is None else bias.double()
    truth = with_gradients(lambda x, b: torchs(kind, x, b), x.double(), wide_bias, dy.double())
    for name, exact in truth.items():
        assert found[name].dtype == (torch.float32 if name == "dbias" else dtype)
        atol = ATOL[dtype] * max(1.0, exact.abs().max().item())
        error_rule.check(f"{name} {shape}", found[name], theirs[name], exact, atol)


@pytest.mark.parametrize("kind", KINDS)
def test_the_written_out_gradient_is_the_derivative(kind):
    x, bias, dy = (t.double() for t in arguments(kind, (3, 5)))
    x, bias = x.requires_grad_(), bias.requires_grad_()
    run = KINDS[kind]
    assert torch.autograd.gradcheck(lambda x, bias: run(x, bias, backend="reference"), (x, bias))
    assert torch.autograd.gradcheck(lambda x: run(x, backend="reference"), x)
    expected = torch.autograd.grad(run(x, bias, backend="reference"), [x, bias], dy)
    for ours, autograds in zip(reference.backward(dy, x.detach(), bias.detach(), kind), expected):
        torch.testing.assert_close(ours, autograds, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_do_not_matter(backend, kind):
    needs(backend)
    x, bias, dy = arguments(kind, (6, 10, 24), device=DEVICE[backend])

    def run(x, bias, dy):
        return with_gradients(lambda x, b: KINDS[kind](x, b, backend=backend), x, bias, dy)

    dense = run(x[:, ::2].contiguous(), bias, torch.ones_like(dy[:, ::2]))
    across = x.transpose(0, 1).contiguous().transpose(0, 1)[:, ::2]
    spread = torch.stack((bias, bias), dim=1)[:, 0]
    one = torch.ones((), device=x.device).expand(dy[:, ::2].shape)
    rounding = 1e-5 if backend == "reference" else 0  # torch sums up in another order where the strides differ
    for name, value in run(across, spread, one).items():
        torch.testing.assert_close(value, dense[name], rtol=rounding, atol=rounding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_rows_give_no_rows_and_a_zero_gradient(backend, kind):
    needs(backend)
    for shape in ((0, 8), (2, 0, 8), (3, 0)):
        x, bias, dy = arguments(kind, shape, device=DEVICE[backend])
        found = with_gradients(lambda x, b: KINDS[kind](x, b, backend=backend), x, bias, dy)
        assert found["y"].shape == dy.shape
        assert found["dx"].shape == x.shape
        assert found["dbias"].tolist() == [0.0] * len(bias)


def test_more_than_forty_programs_add_up(monkeypatch):
    """The finishing kernel takes 32 programs' sums at a time; a GPU makes hundreds."""
    needs("triton")
    from jarvis_nano.kernels.activation import triton_kernel

    monkeypatch.setattr(triton_kernel, "_programs", lambda device, n_tiles, n_column_tiles: min(n_tiles, 45))
    check_shape("triton", "gelu", True, torch.float32, (128 * 50, 16))
    check_shape("triton", "swiglu", True, torch.float32, (128 * 50, 16))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", OURS)
def test_repeats_are_equal_bit_for_bit(backend, kind):
    needs(backend)
    x, bias, dy = arguments(kind, (500, 96), device=DEVICE[backend])
    runs = [with_gradients(lambda x, b: KINDS[kind](x, b, backend=backend), x, bias, dy) for _ in range(3)]
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_does_not_change_a_bit(kind):
    needs("cpp")
    x, bias, dy = arguments(kind, (700, 96))
    threads = torch.get_num_threads()
    runs = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            runs.append(with_gradients(lambda x, b: KINDS[kind](x, b, backend="cpp"), x, bias, dy))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


def test_gelu_over_its_whole_range():
    """Densely, around 0, and at the far ends; the rational functions stop at 5.6 and 5.8."""
    needs("cpp")
    dense = torch.linspace(-7, 7, 40001)
    x = torch.cat((dense, dense / 1e3, torch.tensor([3e38, -3e38, 1e-40, -1e-40]))).requires_grad_()
    y, theirs = kernels.gelu(x, backend="cpp"), F.gelu(x)
    exact = F.gelu(x.detach().double().requires_grad_())
    error_rule.check("y", y[:-4], theirs[:-4], exact[:-4], 0)
    assert -1e-7 < y[-3].item() <= 0.0
    assert y[-4].item() == x[-4].item()
    wide = x.detach().double().requires_grad_()
    grads = [torch.autograd.grad(out.sum(), at)[0][:-4] for out, at in ((y, x), (theirs, x), (F.gelu(wide), wide))]
    error_rule.check("dx", *grads, 0)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # Triton's interpreter: exp is infinite there
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_ends_of_the_range_stay_finite_and_not_a_number_stays_visible(backend, kind):
    needs(backend)
    x = torch.tensor([[-1e4, -90.0, -20.0, -0.0, 0.0, 20.0, 90.0, 1e4]], device=DEVICE[backend])
    width = 4 if kind == "swiglu" else 8
    found = with_gradients(lambda x, b: KINDS[kind](x, b, backend=backend), x, None, torch.ones_like(x[:, :width]))
    exact = with_gradients(lambda x, b: torchs(kind, x, b), x.double(), None, torch.ones_like(x[:, :width]).double())
    for name, value in exact.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-6)
    x[0, 3] = float("nan")
    assert KINDS[kind](x, backend=backend).isnan().sum() == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", OURS)
def test_opcheck(backend, kind):
    needs(backend)
    x, bias, dy = arguments(kind, (2, 3, 8), device=DEVICE[backend])
    KINDS[kind](x, backend=backend)  # a choice loads the kernel and with it the registration
    ops, overload = torch.ops.jarvis_nano, "triton" if backend == "triton" else "default"
    one = torch.ones(1, device=x.device).expand(dy.shape)
    for b in (None, bias):
        torch.library.opcheck(getattr(ops.activation, overload), (x, b, kind))
        torch.library.opcheck(getattr(ops.activation_backward, overload), (one, x, b, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_in_one_graph_gives_what_eager_gives(backend, kind):
    needs(backend)
    torch._dynamo.reset()
    x, bias, dy = arguments(kind, (6, 40), device=DEVICE[backend])

    def step(x, bias):
        return KINDS[kind](x * 2, bias, backend=backend) + 1

    eager = with_gradients(step, x, bias, dy)
    compiled = torch.compile(step, fullgraph=True, backend="inductor" if backend == "cpp" else "aot_eager")
    for name, value in with_gradients(compiled, x, bias, dy).items():
        torch.testing.assert_close(value, eager[name])


@pytest.mark.parametrize("kind", KINDS)
def test_fake_tensors_on_cuda_pass_through_the_op(kind):
    if OP.why_not("triton", "cuda"):
        pytest.skip("no triton")
    with FakeTensorMode():
        x = torch.empty(4, 16, device="cuda", dtype=torch.bfloat16)
        y = KINDS[kind](x, torch.empty(16, device="cuda"), backend="triton")
    assert (y.device.type, y.dtype, y.shape) == ("cuda", torch.bfloat16, (4, 8 if kind == "swiglu" else 16))


def test_relu_squared_keeps_one_tensor_on_the_cpu():
    kept = []
    x = torch.randn(4, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        kernels.relu_squared(x)
    assert len(kept) == 1


def test_what_does_not_fit_says_why():
    with pytest.raises(UserError, match=r"bias \(4,\) does not fit the rows of x \(2, 3\)"):
        kernels.gelu(torch.zeros(2, 3), torch.zeros(4))
    with pytest.raises(UserError, match=r"x \(2, 3\) are odd"):
        kernels.swiglu(torch.zeros(2, 3))
    with pytest.raises(UserError, match="does not fit"):
        kernels.gelu(torch.zeros(()))


def test_the_raw_op_checks_before_it_reads_memory():
    needs("cpp")
    kernels.gelu(torch.zeros(2, 4), backend="cpp")  # a choice loads the compiled kernels
    forward, backward = torch.ops.jarvis_nano.activation.default, torch.ops.jarvis_nano.activation_backward.default
    x = torch.zeros(2, 4)
    with pytest.raises(RuntimeError, match="unknown kind 'tanh'; expected gelu"):
        forward(x, None, "tanh")
    with pytest.raises(RuntimeError, match="dtype that this kernel does not take"):
        forward(x.double(), None, "gelu")
    with pytest.raises(RuntimeError, match="bias has 3 values, the rows of x have 4"):
        forward(x, torch.zeros(3), "gelu")
    with pytest.raises(RuntimeError, match="rows of 3 are odd"):
        forward(torch.zeros(2, 3), None, "swiglu")
    with pytest.raises(RuntimeError, match="dy has 8 values, the result has 4"):
        backward(x, x, None, "swiglu")
    with pytest.raises(RuntimeError, match="sizes, dtype and device must be the result's"):
        backward(x.bfloat16(), x, None, "gelu")
