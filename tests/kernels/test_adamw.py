"""AdamW over all tensors at once in every backend, against torch.optim.AdamW with clip_grad_norm_; docs/adamw.md."""

from __future__ import annotations

import math

import error_rule
import pytest
import torch
from torch import Tensor

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.adamw.op import OP

HAS_GPU = torch.cuda.is_available()
DEVICE = {"reference": "cpu", "cpp": "cpu", "triton": "cuda" if HAS_GPU else "cpu"}
BACKENDS = tuple(DEVICE)
# One value, less than a chunk, one chunk, one more, none, a matrix of two chunks and a half
SHAPES = [(1,), (3, 5), (2048,), (2049,), (0,), (50, 103)]
BETAS = (0.9, 0.95)


def needs(backend: str) -> None:
    if reason := OP.why_not(backend, DEVICE[backend]):
        pytest.skip(reason)


def drawn(seed: int, device: str = "cpu", dtype=torch.float32, shapes=SHAPES) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]


class Ours:
    """The state that a training loop would keep."""

    def __init__(self, backend: str, params: list[Tensor], **settings) -> None:
        self.backend, self.settings, self.t = backend, {"betas": BETAS, **settings}, 0
        self.params = [p.clone() for p in params]
        self.exp_avg, self.exp_avg_sq = ([torch.zeros_like(p) for p in params] for _ in range(2))

    def step(self, grads: list[Tensor], **settings):
        self.t += 1
        given = {"step": self.t, "backend": self.backend, **self.settings, **settings}
        return kernels.adamw_step(self.params, grads, self.exp_avg, self.exp_avg_sq, **given)

    def tensors(self) -> list[Tensor]:
        return [*self.params, *self.exp_avg, *self.exp_avg_sq]


def of_torch(params, gradients, max_norm, decays, dtype, lr=1e-2, eps=1e-8) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and moments after a step for each list of gradients, and the total norms."""
    leaves = [p.detach().to(dtype).requires_grad_() for p in params]
    groups = [{"params": [leaf], "weight_decay": decay} for leaf, decay in zip(leaves, decays)]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=BETAS, eps=eps, foreach=True)
    totals = []
    for grads in gradients:
        for leaf, grad in zip(leaves, grads):
            leaf.grad = grad.to(dtype, copy=True)
        totals.append(torch.nn.utils.clip_grad_norm_(leaves, math.inf if max_norm is None else max_norm))
        if max_norm is None:  # an infinite limit leaves them alone
            for leaf, grad in zip(leaves, grads):
                leaf.grad = grad.to(dtype, copy=True)
        optimizer.step()
    state = [optimizer.state[leaf] for leaf in leaves]
    moments = [s[name] for name in ("exp_avg", "exp_avg_sq") for s in state]
    return [leaf.detach() for leaf in leaves] + moments, totals


@pytest.mark.parametrize("grad_dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("max_norm", [None, 20.0, 1e4], ids=["unclipped", "clipped", "below the limit"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_error_over_20_steps_is_at_most_twice_that_of_torch(backend, max_norm, grad_dtype):
    needs(backend)
    device = DEVICE[backend]
    n_steps = 20 if max_norm == 20 and grad_dtype == torch.float32 else 4
    params = drawn(0, device)
    decays = [0.1, 0.0, 0.1, 0.3, 0.1, 0.2]
    gradients = [drawn(t, device, grad_dtype) for t in range(1, n_steps + 1)]
    ours = Ours(backend, params, lr=1e-2, weight_decay=decays, max_norm=max_norm)
    norms = [ours.step(grads) for grads in gradients]
    truth, totals = of_torch(params, gradients, max_norm, decays, torch.float64)
    theirs, _ = of_torch(params, gradients, max_norm, decays, torch.float32)
    for i, found in enumerate(ours.tensors()):
        error_rule.check(f"tensor {i}", found, theirs[i], truth[i], atol=1e-6)
    for found, total, grads in zip(norms, totals, gradients):
        torch.testing.assert_close(found.total_gradient.double(), total, rtol=1e-5, atol=0)
        torch.testing.assert_close(
            found.gradient.double(), torch.stack([g.double().norm() for g in grads]), rtol=1e-5, atol=0
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_norms_are_those_of_the_change_and_of_the_new_weights(backend):
    needs(backend)
    params = drawn(0, DEVICE[backend])
    ours = Ours(backend, params, lr=0.05, weight_decay=0.3)
    norms = ours.step(drawn(1, DEVICE[backend]))
    changes = torch.stack([(a.double() - b.double()).norm() for a, b in zip(ours.params, params)])
    torch.testing.assert_close(norms.update.double(), changes, rtol=1e-4, atol=1e-6)
    weights = torch.stack([p.double().norm() for p in ours.params])
    torch.testing.assert_close(norms.weight.double(), weights, rtol=1e-5, atol=0)
    assert norms.gradient.shape == norms.update.shape == norms.weight.shape == (len(SHAPES),)
    assert norms.total_gradient.shape == ()
    assert all(norm.device == params[0].device for norm in norms)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rates_and_steps_as_tensors_give_what_numbers_give(backend):
    needs(backend)
    device = DEVICE[backend]
    results = []
    each = [0.01, 0.02, 0.01, 0.03, 0.01, 0.02]
    meta = torch.tensor(0.0, device=device)  # on the tensors' device, as a captured graph needs
    variants = [
        [{"lr": 0.01}, {"lr": [0.01] * 6}, {"lr": meta + 0.01}, {"lr": 0.01, "step": meta.long() + 2}],
        [{"lr": each}, {"lr": torch.tensor(each, device=device)}, {"lr": each, "step": meta.long() + 2}],
    ]
    for variant in variants:
        results.clear()
        for given in variant:
            ours = Ours(backend, drawn(0, device), weight_decay=torch.tensor(0.1))
            ours.step(drawn(1, device), lr=0.01)
            ours.step(drawn(2, device), **given)
            results.append(ours.tensors())
        for found in results[1:]:
            for a, b in zip(found, results[0]):
                torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_rates_on_the_device_are_read_there(monkeypatch):
    """The kernel's other way to its rates, which tensors on a GPU take; on the CPU it must be asked for."""
    needs("triton")
    from jarvis_nano.kernels.adamw import triton_kernel

    device = torch.device(DEVICE["triton"])
    host = triton_kernel._rates(torch.tensor(0.01), torch.tensor(3), BETAS, device)
    one, two = (1 - beta**3 for beta in BETAS)
    assert host[:4] == (pytest.approx(0.01), one, two**0.5, None)
    for rates in ([0.01], [0.01 * i for i in range(1, 7)]):
        control = torch.tensor([one, two**0.5, *rates], device=device)
        plain = Ours("triton", drawn(0, device), weight_decay=0.1)
        plain.t = 2
        plain.step(drawn(1, device), lr=rates if len(rates) > 1 else rates[0])
        stride = 0 if len(rates) == 1 else 1
        with monkeypatch.context() as patch:
            given = triton_kernel._Rates(0.0, 0.0, 0.0, control, stride)
            patch.setattr(triton_kernel, "_rates", lambda *_, given=given: given)
            found = Ours("triton", drawn(0, device), weight_decay=0.1)
            found.step(drawn(1, device), lr=99.0)
        for a, b in zip(found.tensors(), plain.tensors()):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_may_move_and_may_have_strides(backend):
    """zero_grad frees them every step: what was remembered of the last addresses must not be used."""
    needs(backend)
    device = DEVICE[backend]
    shapes = [(6, 40), (7,)]
    moving, fixed = (Ours(backend, drawn(0, device, shapes=shapes), lr=0.1) for _ in range(2))
    place = drawn(9, device, shapes=shapes)
    alive = []
    for t in range(1, 4):
        grads = drawn(t, device, shapes=shapes)
        alive.append([grads[0].t().contiguous().t(), torch.stack([grads[1]] * 2, 1)[:, 0]])
        moving.step(alive[-1])
        for old, new in zip(place, grads):
            old.copy_(new)
        fixed.step(place)
    assert all(torch.equal(a, b) for a, b in zip(moving.tensors(), fixed.tensors()))
    ones = [torch.ones((), device=device).expand(shape) for shape in shapes]
    assert moving.step(ones).gradient.tolist() == pytest.approx([240**0.5, 7**0.5])


@pytest.mark.parametrize("backend", BACKENDS)
def test_repeats_are_equal_bit_for_bit(backend):
    needs(backend)
    device = DEVICE[backend]

    def run() -> list[Tensor]:
        ours = Ours(backend, drawn(0, device), lr=0.1, weight_decay=0.1, max_norm=1.0)
        return [*ours.step(drawn(1, device)), *ours.tensors()]

    first = run()
    for _ in range(100 if HAS_GPU else 2):
        assert all(torch.equal(a, b) for a, b in zip(run(), first))


@pytest.mark.parametrize("backend", BACKENDS)
def test_not_a_number_stays_visible(backend):
    """A clipping factor that hid a NaN would turn a broken step into a quiet one."""
    needs(backend)
    grads = drawn(1, DEVICE[backend])
    grads[1][0, 0] = float("nan")
    ours = Ours(backend, drawn(0, DEVICE[backend]), lr=0.1, max_norm=1.0)
    norms = ours.step(grads)
    assert norms.total_gradient.isnan()
    assert norms.gradient.isnan().tolist() == [False, True] + [False] * 4
    assert all(p.isnan().all() for p in ours.params)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_with_no_gradient_so_far_keep_still(backend):
    needs(backend)
    params = [torch.ones(5, device=DEVICE[backend]), torch.ones(2060, device=DEVICE[backend])]
    ours = Ours(backend, params, lr=0.1, eps=1e-10)
    norms = ours.step([torch.zeros_like(p) for p in params])
    assert all(torch.equal(a, b) for a, b in zip(ours.params, params))
    assert norms.update.tolist() == [0.0, 0.0]
    empty = Ours(backend, [torch.empty(0, 3, device=DEVICE[backend])], lr=0.1, max_norm=1.0)
    assert [norm.sum().item() for norm in empty.step([empty.params[0].clone()])] == [0.0] * 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_autograd_sees_that_the_weights_have_changed(backend):
    needs(backend)
    w = torch.ones(3, device=DEVICE[backend], requires_grad=True)
    out = (w * w).sum()
    kernels.adamw_step([w], [w.detach().clone()], *([torch.zeros_like(w)] for _ in range(2)), lr=0.1, step=1,
                       backend=backend)  # fmt: skip
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


@pytest.mark.parametrize("backend", ["cpp", "triton"])
def test_opcheck(backend):
    needs(backend)
    device = DEVICE[backend]
    OP.choose(torch.empty(1, device=device), backend)
    ours = Ours(backend, drawn(0, device))
    scalars = (torch.tensor(0.1), torch.tensor(0.1), torch.tensor(1), *BETAS, 1e-8, 1.0)
    lists = (ours.params, drawn(1, device), ours.exp_avg, ours.exp_avg_sq)
    overload = "triton" if backend == "triton" else "default"
    torch.library.opcheck(getattr(torch.ops.jarvis_nano.adamw_step, overload), (*lists, *scalars))


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_in_one_graph_gives_what_eager_gives(backend):
    needs(backend)
    torch._dynamo.reset()
    device = DEVICE[backend]

    def step(params, grads, m, v, lr, t):
        norms = kernels.adamw_step(params, grads, m, v, lr=lr, betas=BETAS, step=t, max_norm=1.0, backend=backend)
        return norms.update * 2

    results = []
    compiler = "inductor" if backend == "cpp" else "aot_eager"
    for function in (step, torch.compile(step, fullgraph=True, backend=compiler)):
        ours = Ours(backend, drawn(0, device))
        lr, t = torch.tensor(0.1, device=device), torch.tensor(1, device=device)
        out = function(ours.params, drawn(1, device), ours.exp_avg, ours.exp_avg_sq, lr, t)
        results.append([out, *ours.tensors()])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_fake_tensors_on_cuda_pass_through_the_triton_op():
    from torch._subclasses.fake_tensor import FakeTensorMode

    pytest.importorskip("triton")
    with FakeTensorMode():
        lists = [[torch.empty(3, 4, device="cuda"), torch.empty(5, device="cuda")] for _ in range(4)]
        norms = kernels.adamw_step(*lists, lr=0.1, step=1, backend="triton")
    assert [tuple(norm.shape) for norm in norms] == [(2,), (2,), (2,), ()]
    assert norms.update.device.type == "cuda"


@pytest.mark.skipif(not HAS_GPU, reason="no GPU")
def test_a_captured_step_replays_with_new_gradients_and_rates():
    lr, t = torch.tensor(0.1, device="cuda"), torch.tensor(1, device="cuda")
    graphed, eager = (Ours("triton", drawn(0, "cuda"), weight_decay=0.1, max_norm=1.0) for _ in range(2))
    grads = drawn(1, "cuda")
    graphed.step(grads, lr=lr, step=t)
    eager.step(grads, lr=lr, step=t)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        norms = graphed.step(grads, lr=lr, step=t)
    for i in range(2, 5):
        t.fill_(i)
        lr.fill_(0.1 / i)
        for old, new in zip(grads, drawn(i, "cuda")):
            old.copy_(new)
        graph.replay()
        expected = eager.step(grads, lr=lr, step=t)
        assert torch.equal(norms.update, expected.update)
    assert all(torch.equal(a, b) for a, b in zip(graphed.tensors(), eager.tensors()))


def test_every_size_around_registers_blocks_and_chunks():
    """1,024 values are summed in float32, 16,384 are a task; gradients of all three dtypes in one call."""
    needs("cpp")
    sizes = [*range(1, 50), 1007, 1023, 1024, 1025, 1040, 2047, 16383, 16384, 16385, 16400, 40001]
    shapes = [(size,) for size in sizes]
    params, gradients = drawn(0, shapes=shapes), drawn(1, shapes=shapes)
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    gradients = [g.to(dtypes[i % 3]) for i, g in enumerate(gradients)]
    ours = Ours("cpp", params, lr=1e-2, weight_decay=0.1, max_norm=20.0)
    norms = ours.step(gradients)
    decays = [0.1] * len(sizes)
    truth, _ = of_torch(params, [gradients], 20.0, decays, torch.float64)
    theirs, _ = of_torch(params, [gradients], 20.0, decays, torch.float32)
    for i, found in enumerate(ours.tensors()):
        error_rule.check(f"size {sizes[i % len(sizes)]}", found, theirs[i], truth[i], atol=1e-7)
    expected = torch.stack([g.double().norm() for g in gradients])
    torch.testing.assert_close(norms.gradient.double(), expected, rtol=1e-6, atol=0)


def test_the_number_of_threads_changes_no_bit():
    needs("cpp")
    shapes = [(40_000,), (3,), (300, 301), (16_384,), (7,)]
    threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3, 5) * 5:
            torch.set_num_threads(n)
            ours = Ours("cpp", drawn(0, shapes=shapes), lr=0.1, weight_decay=0.1, max_norm=1.0)
            results.append([*ours.step(drawn(1, shapes=shapes)), *ours.tensors()])
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0]))


@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_faded_moments_stay_numbers_and_leave_the_processor_as_it_was(eps):
    """Denormal numbers are slow and count as zeros inside the kernel; with eps = 0 that would be 0 / 0."""
    needs("cpp")
    ours = Ours("cpp", [torch.ones(2000)], lr=0.1, eps=eps)
    ours.exp_avg[0].fill_(1e-40)
    ours.exp_avg_sq[0].fill_(1e-40)
    ours.step([torch.zeros(2000)])
    assert all(tensor.isfinite().all() for tensor in ours.tensors())
    assert (ours.exp_avg_sq[0] > 0).all() == (eps == 0)
    assert (torch.full((2000,), 1e-40) * 0.5 > 0).all()


def one(**change):
    tensors = {name: [torch.zeros(2, 3)] for name in ("params", "grads", "exp_avg", "exp_avg_sq")}
    return {**tensors, "lr": 0.1, "step": 1, **change}


WRONG = [
    (one(params=[]), "no parameters"),
    (one(grads=[]), "0 gradients for 1 parameters"),
    (one(exp_avg=[torch.zeros(3, 2)]), r"exp_avg\[0\] is \(3, 2\) on cpu, its parameter \(2, 3\)"),
    (one(step=0), "step 0"),
    (one(lr=[0.1, 0.2]), r"lr has the shape \(2,\)"),
    (one(weight_decay=torch.zeros(1, 1)), "weight_decay has the shape"),
    (one(params=[torch.zeros(3, 2).t()]), r"contiguous float32 .* params\[0\] is torch.float32 with strides"),
    (one(exp_avg=[torch.zeros(2, 3).half()]), r"exp_avg\[0\] is torch.float16"),
    (one(grads=[torch.zeros(2, 3).double()]), r"takes gradients (of|in) .*float64"),
]


@pytest.mark.parametrize("backend", ["cpp", "triton"])
@pytest.mark.parametrize(("given", "says"), WRONG)
def test_what_cannot_run_says_why(backend, given, says):
    needs(backend)
    if DEVICE[backend] == "cuda":
        says = says.replace("cpu", "cuda:0")
        given = {k: [t.cuda() for t in v] if isinstance(v, list) and k not in ("lr",) else v for k, v in given.items()}
    with pytest.raises(UserError, match=says):
        kernels.adamw_step(**given, backend=backend)


def test_the_raw_op_checks_what_it_is_given_before_it_reads_memory():
    needs("cpp")
    OP.choose(torch.empty(1), "cpp")

    def call(params, grads, exp_avg, lr=0.1, step=1):
        numbers = (torch.tensor(lr), torch.tensor(0.1), torch.tensor(step), *BETAS, 1e-8, None)
        return torch.ops.jarvis_nano.adamw_step.default(params, grads, exp_avg, [torch.zeros(6)], *numbers)

    six, seven = [torch.zeros(6)], [torch.zeros(7)]
    for arguments, says in (
        ((six, seven, six), r"grads\[0\] has 7 values, its parameter 6"),
        ((six, six, seven), r"exp_avg\[0\] has 7 values, its parameter 6"),
        ((six, six, []), "1 parameters, 1 gradients, 0 and 1 moments"),
        (([torch.zeros(6).double()], six, six), r"contiguous float32 .* params\[0\]"),
        ((six, [torch.zeros(6).long()], six), r"grads\[0\] has another dtype"),
        ((six, six, six, [0.1, 0.2]), "lr has 2 values; expected 1 or 1"),
        ((six, six, six, 0.1, 0), "the first step is 1"),
    ):
        with pytest.raises(RuntimeError, match=says):
            call(*arguments)
