"""Linear layers in every backend against torch in float64; docs/linear.md has the maths.

The compiled kernel runs where JARVIS_NANO_CPU=amx asks for tiles: the last test starts these tests in such a process.
"""

from __future__ import annotations

from pathlib import Path

import error_rule
import instruction_sets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jarvis_nano import kernels
from jarvis_nano.config import ModelConfig
from jarvis_nano.errors import UserError
from jarvis_nano.kernels import backends
from jarvis_nano.kernels.linear_layer import op as linear_layer
from jarvis_nano.kernels.linear_layer.op import OP
from jarvis_nano.model import Transformer

BACKENDS = ["reference", "cpp"]
# (rows, K, N): tails in each direction, panels of 32, tasks of 256 rows, depths past 512, columns past 2048.
SIZES = [(1, 1, 1), (33, 70, 50), (7, 3, 200), (31, 64, 32), (300, 1100, 40), (65, 40, 2100), (257, 96, 97)]


def needs(backend: str) -> None:
    reason = OP.why_not(backend, "cpu")
    if reason:
        pytest.skip(reason)


def arguments(rows: int, K: int, N: int, kind: str = "normal") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(rows + K + N)
    x, weight, bias, dy = (torch.randn(shape, generator=generator) for shape in ((rows, K), (N, K), (N,), (rows, N)))
    if kind == "positive":
        return {"x": x.abs(), "weight": weight.abs(), "bias": bias.abs(), "dy": dy.abs()}
    if kind == "uneven":  # some rows and columns a million times as large as others
        scales = [torch.randn(n, generator=generator).mul(4).exp() for n in (rows, K, N)]
        x, weight, dy = x * scales[0][:, None] * scales[1], weight * scales[2][:, None] / scales[1], dy * scales[2]
    return {"x": x, "weight": weight, "bias": bias, "dy": dy}


def results(run, tensors: dict[str, Tensor], dtype=None) -> dict[str, Tensor]:
    leaves = {k: v.detach().to(dtype or v.dtype).requires_grad_(k != "dy") for k, v in tensors.items()}
    y = run(leaves["x"], leaves["weight"], leaves["bias"])
    names = ("x", "weight", "bias")
    return {"y": y, **dict(zip(names, torch.autograd.grad(y, [leaves[n] for n in names], leaves["dy"])))}


@pytest.mark.parametrize("kind", ["normal", "positive", "uneven"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_error_is_at_most_twice_that_of_torch(backend, kind):
    needs(backend)
    for size in SIZES:
        t = arguments(*size, kind=kind)
        found = results(lambda x, w, b: kernels.linear(x, w, b, backend=backend), t)
        truth, theirs = results(F.linear, t, torch.float64), results(F.linear, t)
        # Each value against the size of what was added up for it: a large row does not excuse a small one.
        sizes = results(F.linear, {k: v.abs() for k, v in t.items()}, torch.float64)
        for name in truth:
            a, b, c = (result[name].double() / sizes[name] for result in (found, theirs, truth))
            error_rule.check(f"{name} {size}", a, b, c, atol=2e-7)


@pytest.mark.parametrize("depth", [1, 2, 31, 512, 513, 3000, 9000])
def test_the_error_does_not_grow_with_the_depth_faster_than_torchs(depth):
    needs("cpp")
    t = arguments(96, depth, 64)
    ours, theirs = (f(t["x"], t["weight"]) for f in (lambda x, w: kernels.linear(x, w, backend="cpp"), F.linear))
    truth = F.linear(t["x"].double(), t["weight"].double())
    error_rule.check(f"depth {depth}", ours, theirs, truth, atol=1e-7)


def test_the_references_gradient_is_the_derivative():
    x, weight, bias = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 5), (4, 5), (4,))
    )
    run = lambda *tensors: kernels.linear(*tensors, backend="reference")  # noqa: E731
    assert torch.autograd.gradcheck(run, (x, weight, bias))
    assert torch.autograd.gradcheck(run, (x[0, 0], weight))


def test_opcheck():
    needs("cpp")
    t = arguments(6, 40, 24)
    x, dy = t["x"].view(2, 3, 40), torch.ones(1).expand(2, 3, 24)
    ops = torch.ops.jarvis_nano
    for bias in (None, t["bias"]):
        torch.library.opcheck(ops.linear.default, (x, t["weight"].t().contiguous().t(), bias))
    for needed in ((True, True, True), (False, True, False), (True, False, False), (False, False, True)):
        torch.library.opcheck(ops.linear_backward.default, (dy, x, t["weight"], *needed))
    torch.library.opcheck(ops.matrix_product_.default, (torch.zeros(6, 24), t["x"], t["weight"].t(), True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_in_one_graph_gives_what_eager_gives(backend):
    needs(backend)
    torch._dynamo.reset()
    t = arguments(64, 40, 24)

    def step(x, weight, bias):
        return kernels.linear(x * 2, weight, bias, backend=backend) + 1

    found, expected = (results(f, t) for f in (torch.compile(step, fullgraph=True), step))
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_do_not_matter(backend):
    needs(backend)
    t = arguments(60, 40, 24)
    run = lambda *tensors: kernels.linear(*tensors, backend=backend)  # noqa: E731
    expected = results(run, {**t, "dy": torch.ones(60, 24)})
    wide = torch.zeros(60, 80)
    wide[:, ::2] = t["x"]
    x, weight, bias = (v.detach().requires_grad_() for v in (wide[:, ::2], t["weight"].t().contiguous().t(), t["bias"]))
    y = run(x, weight, bias)
    found = dict(zip(("y", "x", "weight", "bias"), (y, *torch.autograd.grad(y.sum(), [x, weight, bias]))))  # stride 0
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)
        assert found[name].shape == expected[name].shape


@pytest.mark.parametrize("add", [False, True])
def test_a_product_reads_any_strides_and_adds(add, monkeypatch):
    monkeypatch.setattr(linear_layer, "_WORTHWHILE", 0)
    a, b, start = torch.randn(45, 70), torch.randn(70, 37), torch.randn(45, 40)[:, :37]
    forms = lambda m: (m, m.t().contiguous().t(), m.repeat_interleave(2, 1)[:, ::2])  # noqa: E731
    for left in (*forms(a), a[:1].expand(45, 70)):
        for right in forms(b):
            out = start.clone() if add else torch.full((45, 37), torch.nan)
            linear_layer.product(left, right, out, add=add)
            torch.testing.assert_close(out, left @ right + (start if add else 0), rtol=1e-5, atol=1e-5)
    column = torch.empty(33, 1)
    linear_layer.product(a[:33], b[:, :1], column)
    torch.testing.assert_close(column, a[:33] @ b[:, :1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_times_something(backend):
    needs(backend)
    for shape, N in (((0, 8), 4), ((2, 0, 8), 4), ((3, 0), 4), ((3, 8), 0)):
        t = {"x": torch.ones(shape), "weight": torch.ones(N, shape[-1]), "bias": torch.ones(N)}
        t["dy"] = torch.ones(*shape[:-1], N)
        found, expected = (results(f, t) for f in (lambda *a: kernels.linear(*a, backend=backend), F.linear))
        for name in expected:
            assert torch.equal(found[name], expected[name]), (name, shape, N)


def test_repeats_are_equal_bit_for_bit_whatever_the_threads():
    needs("cpp")
    t = arguments(700, 600, 130)
    run = lambda *tensors: kernels.linear(*tensors, backend="cpp")  # noqa: E731
    first, threads = results(run, t), torch.get_num_threads()
    try:
        for n in (1, 2, 3) * 5:
            torch.set_num_threads(n)
            again = results(run, t)
            assert all(torch.equal(first[k], again[k]) for k in first)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("side", ["x", "weight"])
def test_what_is_not_finite_stays_visible(bad, side):
    needs("cpp")
    t = arguments(40, 70, 50)
    t[side][17, 33] = bad
    y = kernels.linear(t["x"], t["weight"], backend="cpp")
    assert torch.equal(y.isfinite(), F.linear(t["x"], t["weight"]).isfinite())


def test_a_nan_of_all_ones_stays_visible():
    needs("cpp")
    x = torch.ones(32, 32)
    x.view(torch.int32)[3, 5] = 0x7FFFFFFF
    assert kernels.linear(x, torch.eye(32), backend="cpp").isfinite().all(1).logical_not().nonzero().tolist() == [[3]]


def test_large_and_small_values_keep_their_digits():
    needs("cpp")
    for scale in (1e-15, 1e-8, 1e8, 1e15):
        x, eye = torch.randn(32, 32) * scale, torch.eye(32)
        assert torch.equal(kernels.linear(x, eye, backend="cpp"), x)  # the three parts of a float are all of it


def test_the_model_takes_the_tiles_and_learns_the_same(monkeypatch):
    needs("cpp")
    monkeypatch.setattr(linear_layer, "_WORTHWHILE", 0)
    torch.manual_seed(0)
    model = Transformer(ModelConfig(vocab_size=96, context=32, n_layers=2, n_heads=2, d_model=64))
    ids = torch.randint(0, 96, (3, 33))

    def gradients():
        loss = model.loss(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()).loss.mean()
        return [loss, *torch.autograd.grad(loss, list(model.parameters()))]

    ran: list[int] = []
    forward, backward = OP.kernels.get("cpp") or OP.load["cpp"]()
    counted = backends.Kernel(lambda *a: (ran.append(1), forward(*a))[1], backward)
    monkeypatch.setitem(OP.kernels, "cpp", counted)
    monkeypatch.setattr(linear_layer, "_runs", True)
    OP._chosen[("cpp", "cpu", torch.float32, None)] = "cpp"
    found = gradients()
    assert len(ran) == 2 * 4
    monkeypatch.setattr(linear_layer, "_runs", False)
    for ours, theirs in zip(found, gradients()):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_auto_is_torchs_own_where_the_tiles_do_not_pay():
    x, weight, bias = torch.randn(4, 8), torch.randn(6, 8), torch.randn(6)
    assert torch.equal(kernels.linear(x, weight, bias), F.linear(x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert kernels.linear(x, weight, bias).dtype == torch.bfloat16
    with kernels.use_backend("triton"):  # has no linear layers: they stay torch's
        assert torch.equal(kernels.linear(x, weight), F.linear(x, weight))


def test_what_replaces_a_linear_layer_is_called_as_it_is():
    model = Transformer(ModelConfig(vocab_size=32, context=8, n_layers=1, n_heads=1, d_model=16))

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    doubled = Doubled(16, 32, bias=False)
    doubled.weight = model.head.weight
    ids = torch.zeros(1, 4, dtype=torch.int64)
    expected = 2 * model(ids)
    model.head = doubled
    torch.testing.assert_close(model(ids), expected)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kernels.linear(torch.zeros(2, 3), torch.zeros(4, 5)), r"weight \(4, 5\) does not fit x \(2, 3\)"),
        (lambda: kernels.linear(torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(3)), r"bias \(3,\) does not fit"),
        (lambda: kernels.linear(torch.zeros(2, 3), torch.zeros(4, 3), backend="fast"), "expected auto, reference, cpp"),
        (lambda: kernels.linear(*torch.zeros(2, 3, 3).double(), backend="cpp"), "not float64"),
    ],
)
def test_what_cannot_run_says_why(call, says):
    with pytest.raises(UserError, match=says):
        call()


def test_without_being_asked_for_tiles_are_refused_with_the_reason():
    if backends.missing_ops() or backends.instruction_set() == "amx":
        pytest.skip(backends.missing_ops() or "this run is on tiles")
    with pytest.raises(UserError, match="JARVIS_NANO_CPU=amx"):
        kernels.linear(torch.zeros(2, 3), torch.zeros(4, 3), backend="cpp")


def test_all_this_holds_on_tiles():
    if not backends.missing_ops() and backends.instruction_set() == "amx":
        pytest.skip("this run is on tiles")
    instruction_sets.pass_with("amx", {Path(__file__): "not reference"})
