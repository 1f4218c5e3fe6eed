"""LayerNorm and RMSNorm in every backend against torch in float64; docs/layernorm.md has the maths."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import error_rule
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.kernels import backends
from jarvis_nano.kernels.layernorm.op import OP

HAS_GPU = torch.cuda.is_available()
DEVICE = {"reference": "cpu", "cpp": "cpu", "triton": "cuda" if HAS_GPU else "cpu", "cuda": "cuda"}
UGLY = [(1, 1), (7, 3), (2, 3, 8), (239, 24), (5, 113), (3, 760), (2, 1128)]
ATOL = {torch.float32: 1e-6, torch.bfloat16: 1e-3, torch.float16: 1e-4}


def needs(backend: str) -> None:
    reason = OP.why_not(backend, DEVICE[backend])
    if reason or (backend == "cuda" and not HAS_GPU):
        pytest.skip(reason or "no GPU")


def arguments(shape, dtype=torch.float32, device="cpu", seed=0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = partial(torch.randn, generator=generator)
    width = shape[-1:]
    tensors = {
        "x": drawn(shape) * 2 + 1,
        "residual": drawn(shape),
        "weight": drawn(width) * 0.3 + 1,
        "bias": drawn(width),
        "dy": drawn(shape),
        "dtotal": drawn(shape),
    }
    parameters = ("weight", "bias")
    return {k: v.to(device, torch.float32 if k in parameters else dtype) for k, v in tensors.items()}


def torch_norm(rms: bool, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    weight = weight.to(x.dtype)
    if rms:
        return F.rms_norm(x, x.shape[-1:], weight, 1e-5)
    return F.layer_norm(x, x.shape[-1:], weight, None if bias is None else bias.to(x.dtype))


def ours(backend: str, rms: bool, x, weight, bias, residual):
    if rms:
        return kernels.rms_norm(x, weight, residual=residual, backend=backend)
    return kernels.layer_norm(x, weight, bias, residual=residual, backend=backend)


def gradients(run, tensors: dict[str, Tensor], names: list[str], dtype=None) -> dict[str, Tensor]:
    """The results of run(**tensors) -> (y, total or None), and the gradients of the tensors named."""
    leaves = {k: v.detach().to(dtype or v.dtype).requires_grad_(k in names) for k, v in tensors.items()}
    y, total = run(leaves)
    outputs, seeds = [y], [leaves["dy"]]
    if total is not None:
        outputs, seeds = [y, total], [leaves["dy"], leaves["dtotal"]]
    grads = torch.autograd.grad(outputs, [leaves[n] for n in names], seeds)
    return {"y": y, **({} if total is None else {"total": total}), **{f"d{n}": g for n, g in zip(names, grads)}}


@pytest.mark.parametrize("dtype", list(ATOL), ids=str)
@pytest.mark.parametrize("with_residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("kind", ["layer", "layer-no-bias", "rms"])
@pytest.mark.parametrize("backend", backends.NAMES)
def test_error_is_at_most_twice_that_of_torch(backend, kind, with_residual, dtype):
    needs(backend)
    rms = kind == "rms"
    names = ["x", "weight"] + ["residual"] * with_residual + ["bias"] * (kind == "layer")

    def run_ours(t):
        bias = t["bias"] if kind == "layer" else None
        out = ours(backend, rms, t["x"], t["weight"], bias, t["residual"] if with_residual else None)
        return out if with_residual else (out, None)

    def run_torch(t):
        total = t["x"] + t["residual"] if with_residual else t["x"]
        y = torch_norm(rms, total, t["weight"], t["bias"] if kind == "layer" else None)
        return y, total if with_residual else None

    for shape in UGLY[:4] if backend == "triton" and not HAS_GPU else UGLY:
        tensors = arguments(shape, dtype, DEVICE[backend])
        found = gradients(run_ours, tensors, names)
        truth = gradients(run_torch, tensors, names, torch.float64)
        theirs = gradients(run_torch, tensors, names)
        for name in truth:
            atol = ATOL[dtype] * max(1.0, truth[name].abs().max().item())
            if backend == "triton" and not HAS_GPU and dtype != torch.float32:
                atol *= 8  # the interpreter truncates to bfloat16 where the hardware rounds
            assert found[name].dtype == tensors[name[1:]].dtype if name[0] == "d" else found[name].dtype == dtype
            error_rule.check(f"{name} {shape}", found[name], theirs[name], truth[name], atol)


@pytest.mark.parametrize("rms", [False, True], ids=["layer", "rms"])
def test_the_references_gradient_is_the_derivative(rms):
    t = {k: v.double().requires_grad_() for k, v in arguments((3, 5), torch.float64).items()}
    run = partial(ours, "reference", rms)
    assert torch.autograd.gradcheck(lambda x, w, b, r: run(x, w, b, r), (t["x"], t["weight"], t["bias"], t["residual"]))
    assert torch.autograd.gradcheck(lambda x, w: run(x, w, None, None), (t["x"], t["weight"]))


@pytest.mark.parametrize("backend", ["cpp", "triton"])
def test_opcheck(backend):
    needs(backend)
    t = arguments((4, 3, 24))
    if backend == "triton":  # a choice loads the kernel and with it the registration
        ours(backend, False, t["x"], t["weight"], None, None)
    forward = torch.ops.jarvis_nano.layer_norm
    backward = torch.ops.jarvis_nano.layer_norm_backward
    forward, backward = (getattr(op, "triton" if backend == "triton" else "default") for op in (forward, backward))
    strided = t["x"].transpose(0, 1).contiguous().transpose(0, 1)
    for residual, bias, rms in ((None, t["bias"], False), (t["residual"], None, False), (strided, None, True)):
        torch.library.opcheck(forward, (t["x"], residual, t["weight"], bias, 1e-5, rms))
        _, total, stats = forward(t["x"], residual, t["weight"], bias, 1e-5, rms)
        total = t["x"] if residual is None else total
        dtotal = None if residual is None else t["dtotal"].transpose(0, 1).contiguous().transpose(0, 1)
        expanded = torch.ones(1).expand(4, 3, 24)
        torch.library.opcheck(backward, (expanded, dtotal, total, t["weight"], stats, rms, bias is not None))


@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_compiled_in_one_graph_gives_what_eager_gives(backend):
    needs(backend)
    torch._dynamo.reset()

    def step(x, residual, weight, bias):
        y, total = kernels.layer_norm(x, weight, bias, residual=residual, backend=backend)
        return kernels.rms_norm(y * 2, weight, backend=backend) + total

    def run(function):
        t = {k: v.requires_grad_() for k, v in arguments((6, 40)).items()}
        leaves = [t[k] for k in ("x", "residual", "weight", "bias")]
        out = function(*leaves)
        return [out, *torch.autograd.grad(out, leaves, t["dy"].detach())]

    inductor = "inductor" if backend == "cpp" else "aot_eager"  # the reference is plain torch
    for compiled, eager in zip(run(torch.compile(step, fullgraph=True, backend=inductor)), run(step)):
        torch.testing.assert_close(compiled, eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["reference", "cpp", "triton", "cuda"])
def test_strides_do_not_matter(backend):
    needs(backend)
    t = arguments((6, 10, 40), device=DEVICE[backend])

    def run(x, residual, dy):
        x, residual = x.detach().requires_grad_(), residual.detach().requires_grad_()
        y, total = ours(backend, False, x, t["weight"], t["bias"], residual)
        return y, total, *torch.autograd.grad([y, total], [x, residual], [dy, dy])

    dense = run(t["x"][:, ::2], t["residual"][:, ::2].contiguous(), torch.ones_like(t["x"][:, ::2]))
    wide = t["x"].transpose(0, 1).contiguous().transpose(0, 1)[:, ::2]
    one = torch.ones((), device=wide.device).expand(wide.shape)  # what sum().backward() sends: strides of 0
    for a, b in zip(dense, run(wide, t["residual"][:, ::2], one)):
        assert torch.equal(a, b)
    assert all(tensor.is_contiguous() for tensor in run(wide, t["residual"][:, ::2], one)[:2])


def in_place(tensor: Tensor) -> bool:
    """Whether the CPU kernel reads it where it lies."""
    return tensor.stride(-1) == 1 and not tensor.is_contiguous()


@pytest.mark.parametrize("dtype", list(ATOL), ids=str)
def test_strided_rows_are_read_in_place(dtype):
    """The heads of a packed projection, rows of a wider tensor, rows repeated, and what has to be copied."""
    needs("cpp")
    t = arguments((3, 5, 9, 24), dtype)
    packed = {
        "heads": lambda v: v[:, :, 2:8],
        "one head": lambda v: v[:, :, 3],
        "columns": lambda v: v[..., 3:20],
        "other order": lambda v: v.transpose(0, 1)[:, :, 1],
        "every second position": lambda v: v[:, ::2, 4:5],
        "one for all": lambda v: v[:1, :1, :1].expand(3, 5, 4, 24),
        "three steps": lambda v: v[:, ::2, ::3],
        "not dense": lambda v: v[..., ::2],
    }
    for name, take in packed.items():
        x, residual, dy, dtotal = (take(t[k]) for k in ("x", "residual", "dy", "dtotal"))
        assert in_place(x) == (name != "not dense")
        weight, bias = t["weight"][: x.shape[-1]], t["bias"][: x.shape[-1]]
        for rms, added in ((False, residual), (True, None)):
            operands = (x, added, dy, dtotal if added is not None else None)

            def run(x, added, dy, dtotal, rms=rms, weight=weight, bias=bias):
                ops = torch.ops.jarvis_nano
                y, total, stats = ops.layer_norm(x, added, weight, None if rms else bias, 1e-5, rms)
                saved = x if added is None else total
                return y, total, stats, *ops.layer_norm_backward(dy, dtotal, saved, weight, stats, rms, not rms)

            strided, dense = run(*operands), run(*(v if v is None else v.contiguous() for v in operands))
            assert all(torch.equal(a, b) for a, b in zip(strided, dense)), name


def test_every_width_up_to_a_few_registers():
    """Whole registers in twos, one alone, and single columns after them: all ways through the loops."""
    needs("cpp")
    for width in range(2, 100):
        t = arguments((5, width))  # an odd number of rows: the backward pass takes them in twos
        names = ["x", "residual", "weight", "bias"]
        found, theirs, truth = (
            gradients(
                lambda t, b=backend: ours(b, False, t["x"], t["weight"], t["bias"], t["residual"]), t, names, dtype
            )
            for backend, dtype in (("cpp", None), ("reference", None), ("reference", torch.float64))
        )
        for name, value in truth.items():
            atol = 3e-6 * max(1.0, value.abs().max().item())
            error_rule.check(f"{name} {width}", found[name], theirs[name], value, atol)


@pytest.mark.parametrize("dtype", list(ATOL), ids=str)
def test_results_larger_than_the_caches_are_written_past_them(dtype):
    """16 MB and more a tensor, once in whole registers and once not: equal to the same rows in small pieces."""
    needs("cpp")
    rows = (17 << 20) // (256 * dtype.itemsize)
    ops = torch.ops.jarvis_nano
    for width in (256, 257):
        t = arguments((rows, width), dtype)
        y, total, stats = ops.layer_norm(t["x"], t["residual"], t["weight"], t["bias"], 1e-5, False)
        dx = ops.layer_norm_backward(t["dy"], t["dtotal"], total, t["weight"], stats, False, True)[0]
        for piece in (slice(0, 700), slice(rows // 2 - 350, rows // 2 + 350), slice(rows - 700, rows)):
            small = {k: v[piece] for k, v in t.items()}
            some = ops.layer_norm(small["x"], small["residual"], t["weight"], t["bias"], 1e-5, False)
            some_dx = ops.layer_norm_backward(small["dy"], small["dtotal"], some[1], t["weight"], some[2], False, True)[
                0
            ]
            assert torch.equal(y[piece], some[0])
            assert torch.equal(total[piece], some[1])
            assert torch.equal(stats[:, piece], some[2])
            assert torch.equal(dx[piece], some_dx)


@pytest.mark.parametrize("backend", ["reference", "cpp", "triton", "cuda"])
def test_no_rows_give_no_rows_and_a_zero_gradient(backend):
    needs(backend)
    for shape in ((0, 8), (2, 0, 8), (3, 0)):
        x = torch.zeros(shape, device=DEVICE[backend], requires_grad=True)
        weight, bias = (torch.ones(shape[-1], device=DEVICE[backend], requires_grad=True) for _ in range(2))
        if backend == "reference" and shape[-1] == 0:
            continue  # the mean of nothing
        y, total = ours(backend, False, x, weight, bias, x)
        (y.sum() + total.sum()).backward()
        assert y.shape == total.shape == x.grad.shape == shape
        assert weight.grad.tolist() == bias.grad.tolist() == [0.0] * shape[-1]


@pytest.mark.parametrize("backend", ["cpp", "triton", "cuda"])
def test_repeats_are_equal_bit_for_bit_whatever_the_threads(backend):
    needs(backend)
    t = arguments((600, 96), device=DEVICE[backend])

    def run(t):
        total = ours(backend, False, t["x"], t["weight"], t["bias"], t["residual"])
        return total

    names = ["x", "residual", "weight", "bias"]
    first = gradients(run, t, names)
    threads = torch.get_num_threads()
    try:
        for n in (1, 2, 3) if backend == "triton" else (1, 2, 3) * 20:
            torch.set_num_threads(n)
            again = gradients(run, t, names)
            assert all(torch.equal(first[k], again[k]) for k in first)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_a_large_mean_does_not_drown_the_variance(backend):
    needs(backend)
    x = torch.randn(4, 384, dtype=torch.float64) + 1e4
    y = kernels.layer_norm(x.float(), torch.ones(384), backend=backend)
    torch.testing.assert_close(y.double(), F.layer_norm(x.float().double(), (384,)), rtol=0, atol=2e-3)


@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_not_a_number_stays_visible(backend):
    needs(backend)
    for dtype in ATOL:
        x = torch.zeros(3, 16, dtype=dtype)
        x[1, 5] = float("nan")
        y = kernels.layer_norm(x, torch.ones(16), backend=backend)
        assert y.isnan().any(-1).tolist() == [False, True, False]


def test_under_autocast_a_narrow_branch_joins_a_wide_stream():
    needs("cpp")
    t = arguments((4, 24))
    weight = t["weight"].requires_grad_()
    linear = torch.nn.Linear(24, 24)
    with torch.autocast("cpu", torch.bfloat16):
        branch = linear(t["x"])
        y, total = kernels.layer_norm(branch, weight, residual=t["residual"], backend="cpp")
        narrow = kernels.layer_norm(branch, weight, backend="cpp")
    assert (branch.dtype, narrow.dtype) == (torch.bfloat16, torch.bfloat16)
    assert (y.dtype, total.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(total, branch.float() + t["residual"])
    (y.sum() + narrow.float().square().sum()).backward()
    assert linear.weight.grad.isfinite().all()
    assert weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kernels.layer_norm(torch.zeros(2, 3), torch.ones(4)), r"weight \(4,\) does not fit .* \(2, 3\)"),
        (lambda: kernels.layer_norm(torch.zeros(2, 3), torch.ones(3), torch.ones(1)), r"bias \(1,\)"),
        (lambda: kernels.rms_norm(torch.zeros(2, 3), torch.ones(3), residual=torch.zeros(3)), "not broadcast"),
        (lambda: kernels.layer_norm(torch.zeros(2, 3), torch.ones(3), backend="fast"), "expected auto, reference, cpp"),
        (lambda: kernels.layer_norm(torch.zeros(2, 3), torch.ones(3), backend="cuda"), "the tensor is on cpu"),
        (lambda: kernels.layer_norm(torch.zeros(2, 3).double(), torch.ones(3), backend="cpp"), "not float64"),
    ],
)
def test_what_cannot_run_says_why(call, says):
    with pytest.raises(UserError, match=says):
        call()


@pytest.mark.parametrize("width", [64, 128])
def test_triton_takes_many_narrow_rows_at_once(width):
    """What QK-norm sends: a row a head."""
    needs("triton")
    from jarvis_nano.kernels.layernorm import triton_kernel

    rows, columns, warps = triton_kernel.tile(width)
    assert (rows * columns, columns, warps) == (2048, width, 4)
    # More rows than the backward's programs take at once (two a multiprocessor), and not whole tiles of them.
    t = arguments((5, 2001 if HAS_GPU else 59, width), device=DEVICE["triton"])
    found, truth, theirs = (
        gradients(lambda t, run=run: (run(t), None), t, ["x", "weight"], dtype)
        for run, dtype in (
            (lambda t: kernels.rms_norm(t["x"], t["weight"], backend="triton"), None),
            (lambda t: torch_norm(True, t["x"], t["weight"], None), torch.float64),
            (lambda t: torch_norm(True, t["x"], t["weight"], None), None),
        )
    )
    for name in truth:
        error_rule.check(name, found[name], theirs[name], truth[name], 1e-6 * truth[name].abs().max().item())


def test_triton_takes_rows_up_to_its_limit_and_refuses_longer_ones():
    needs("triton")
    from jarvis_nano.kernels.layernorm import triton_kernel

    widest = triton_kernel.MAX_COLUMNS
    assert OP.widths["triton"] == range(widest + 1)
    t = arguments((2, widest), device=DEVICE["triton"])
    found = kernels.layer_norm(t["x"], t["weight"], t["bias"], backend="triton")
    torch.testing.assert_close(found, torch_norm(False, t["x"], t["weight"], t["bias"]), rtol=1e-4, atol=1e-5)
    x = torch.zeros(2, widest + 1, device=DEVICE["triton"])
    with pytest.raises(UserError, match="layer_norm in triton takes widths of 0 to 4096, not 4097"):
        kernels.layer_norm(x, x[0], backend="triton")


def test_the_raw_op_checks_dtypes_before_it_reads_memory():
    needs("cpp")
    t = arguments((2, 8))
    forward, backward = torch.ops.jarvis_nano.layer_norm.default, torch.ops.jarvis_nano.layer_norm_backward.default
    with pytest.raises(RuntimeError, match="residual"):
        forward(t["x"], t["residual"].bfloat16(), t["weight"], None, 1e-5, False)
    with pytest.raises(RuntimeError, match="dtype that this kernel does not take"):
        forward(t["x"].long(), None, t["weight"], None, 1e-5, False)
    _, _, stats = forward(t["x"], None, t["weight"], None, 1e-5, False)
    with pytest.raises(RuntimeError, match="dy"):
        backward(t["dy"].bfloat16(), None, t["x"], t["weight"], stats, False, False)
    with pytest.raises(RuntimeError, match="statistics"):
        backward(t["dy"], None, t["x"], t["weight"], stats.double(), False, False)


def test_double_is_computed_in_double_by_the_reference():
    x = torch.randn(3, 8, dtype=torch.float64)
    y = kernels.layer_norm(x, torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(y, F.layer_norm(x, (8,)), rtol=1e-13, atol=1e-13)


def test_fake_tensors_on_cuda_pass_through_the_linked_op():
    if not backends.has_cuda_kernels():
        pytest.skip("built without CUDA; JARVIS_NANO_CUDA=link python setup.py build_ext --inplace builds it anywhere")
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x = torch.empty(4, 8, device="cuda", dtype=torch.float16)
        y, total = kernels.layer_norm(x, torch.empty(8, device="cuda"), residual=x, backend="cuda")
    assert (y.device.type, total.dtype, y.shape) == ("cuda", torch.float16, (4, 8))


def test_a_mistyped_instruction_set_is_refused():
    needs("cpp")
    program = "import torch; from jarvis_nano import kernels; kernels.layer_norm(torch.ones(2, 4), torch.ones(4))"
    environment = {**os.environ, "JARVIS_NANO_CPU": "avx1024"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "JARVIS_NANO_CPU is 'avx1024'; expected amx, avx512, avx2 or portable" in done.stderr
