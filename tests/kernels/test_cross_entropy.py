"""Output head with cross-entropy in every backend against torch in float64; docs/cross_entropy.md has the maths."""

from __future__ import annotations

from functools import cache

import error_rule
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.cross_entropy import chunks
from jarvis_nano.kernels.cross_entropy.op import OP

HAS_GPU = torch.cuda.is_available()
DEVICE = {"reference": "cpu", "cpp": "cpu", "triton": "cuda" if HAS_GPU else "cpu"}
BACKENDS = tuple(DEVICE)
NAMES = ("loss", "log_z", "entropy", "hit")
# (N, C, V): one of each, less than a vector, no multiple of one, more rows than a chunk, long rows, no rows
UGLY = [(1, 1, 1), (5, 3, 7), (239, 24, 113), (600, 8, 1001), (9, 4, 9001), (0, 4, 9)]
INTERPRETED = [(1, 1, 1), (5, 3, 7), (37, 24, 113), (5, 4, 9001), (0, 4, 9)]  # 5 ms a row
ATOL = {torch.float32: 1e-6, torch.bfloat16: 1e-3, torch.float16: 1e-4}


def needs(backend: str) -> None:
    if reason := OP.why_not(backend, DEVICE[backend]):
        pytest.skip(reason)


def arguments(
    N: int, C: int, V: int, ignored: float = 0.2, dtype=torch.float32, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """x, weight, target with that share of ignored ones."""
    generator = torch.Generator().manual_seed(N + C + V)
    x, weight = torch.randn(N, C, generator=generator), torch.randn(V, C, generator=generator) * 0.5
    target = torch.randint(0, V, (N,), generator=generator)
    target[torch.rand(N, generator=generator) < ignored] = -100
    return x.to(device, dtype), weight.to(device, dtype), target.to(device)


def of_torch(x: Tensor, weight: Tensor, target: Tensor, z_loss: float) -> tuple[Tensor, ...]:
    """The same figures from torch's own functions."""
    logits = F.linear(x, weight)
    counted = target != -100
    log_z, log_p = logits.logsumexp(-1), logits.log_softmax(-1)
    loss = F.cross_entropy(logits, target, reduction="none") + z_loss * log_z.square() * counted
    hit = (logits.argmax(-1) == target).to(x.dtype)
    return loss, log_z * counted, torch.special.entr(log_p.exp()).sum(-1) * counted, hit


def with_gradients(run, x: Tensor, weight: Tensor, reduce) -> dict[str, Tensor]:
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    figures = run(x, weight)
    gradients = torch.autograd.grad(reduce(figures[0]), (x, weight))
    return {**{n: f.detach() for n, f in zip(NAMES, figures)}, "dx": gradients[0], "d_weight": gradients[1]}


def mean(loss: Tensor) -> Tensor:
    return loss.sum() / max(1, len(loss))


def mean_of_torch(loss: Tensor) -> Tensor:
    """The same, but it sends a dense gradient where a sum sends one number with a stride of 0."""
    return loss.mean() if len(loss) else loss.sum()


def uneven(loss: Tensor) -> Tensor:
    return (loss * torch.linspace(-1, 2, len(loss), dtype=loss.dtype, device=loss.device)).sum()


@cache
def torch_twice(shape, z_loss: float, ignored: float, reduce, dtype: torch.dtype, device: str):
    """torch's results in float64, and in the dtype."""
    x, weight, target = arguments(*shape, ignored, dtype, device)

    def run(x, weight):
        return of_torch(x, weight, target, z_loss)

    return with_gradients(run, x.double(), weight.double(), reduce), with_gradients(run, x, weight, reduce)


VARIANTS = [(0.0, 0.0), (1e-2, 0.2), (0.0, 0.2)]  # z_loss, the share of ignored targets


@pytest.fixture
def small_chunks(monkeypatch):
    """512 rows are a chunk on the CPU, 16 on a GPU, however few the ids."""
    monkeypatch.setattr(chunks, "_LOGITS_IN_A_CHUNK", 1)
    if OP.why_not("triton", DEVICE["triton"]) is None:
        from jarvis_nano.kernels.cross_entropy import triton_kernel

        monkeypatch.setattr(triton_kernel, "_BYTES_IN_A_CHUNK", 1)
        monkeypatch.setattr(triton_kernel, "_ROWS", 16)


CASES = [(b, r, d) for b in BACKENDS for r in (mean, uneven) for d in (torch.float32, torch.bfloat16)]
CASES += [("triton", reduce, torch.float16) for reduce in (mean, mean_of_torch, uneven)]


@pytest.mark.parametrize(("backend", "reduce", "dtype"), CASES)
def test_error_is_at_most_twice_that_of_torch(backend, reduce, dtype, small_chunks):
    needs(backend)
    interpreted = backend == "triton" and not HAS_GPU
    for i, shape in enumerate(INTERPRETED if interpreted else UGLY):
        z_loss, ignored = VARIANTS[i % 3]
        x, weight, target = arguments(*shape, ignored, dtype, DEVICE[backend])

        def run(x, weight, target=target, z_loss=z_loss):
            return kernels.linear_cross_entropy(x, weight, target, z_loss=z_loss, backend=backend)

        found = with_gradients(run, x, weight, reduce)
        truth, theirs = torch_twice(shape, z_loss, ignored, reduce, dtype, DEVICE[backend])
        for name in truth:
            assert found[name].dtype == (torch.float32 if name in NAMES else dtype)
            atol = ATOL[dtype] * max(1.0, truth[name].abs().max().item() if truth[name].numel() else 0)
            if interpreted and dtype == torch.bfloat16:
                atol *= 8  # the interpreter truncates to bfloat16 where the hardware rounds
            error_rule.check(f"{name} {shape}", found[name], theirs[name], truth[name], atol)


@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_a_narrow_x_and_a_wide_weight_are_computed_in_float32_on_the_cpu(backend):
    """What autocast sends: activations in bfloat16, parameters in float32."""
    needs(backend)
    x, weight, target = arguments(70, 16, 300)

    def run(x, weight):
        return kernels.linear_cross_entropy(x, weight, target, backend=backend)

    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradients(run, x.bfloat16(), weight, mean)
    truth = with_gradients(lambda x, w: of_torch(x, w, target, 0), x.bfloat16().double(), weight.double(), mean)
    assert found["dx"].dtype == torch.bfloat16
    assert found["d_weight"].dtype == found["loss"].dtype == torch.float32
    for name in ("loss", "log_z", "entropy", "d_weight"):
        torch.testing.assert_close(found[name].double(), truth[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_the_references_gradient_is_the_derivative(z_loss):
    x, weight, target = arguments(4, 3, 5, 0.3, torch.float64)
    assert (target == -100).any()

    def run(x, weight):
        return kernels.linear_cross_entropy(x, weight, target, z_loss=z_loss, backend="reference").loss

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), weight.requires_grad_()))


@pytest.mark.parametrize("backend", ["cpp", "triton"])
def test_opcheck(backend):
    needs(backend)
    device = DEVICE[backend]
    x, weight, target = arguments(6, 4, 11, device=device)
    kernels.linear_cross_entropy(x, weight, target, backend=backend)  # a choice loads the kernels
    forward, backward = OP.kernels[backend]
    for needed in ((True, True), (False, True)):
        arguments_in = (x.t().contiguous().t(), weight, target, -100, 0.1, *needed)
        torch.library.opcheck(forward, arguments_in)
        *_, dx, d_weight = forward(*arguments_in)
        # One backward a sum, the other not.
        for d_loss in (torch.full((1,), 0.5, device=device).expand(6), torch.arange(6.0, device=device)):
            arguments_back = (d_loss, x, weight, target, dx, d_weight, -100, 0.1, *needed)
            torch.library.opcheck(backward, arguments_back)
            if backend == "cpp":
                torch.library.opcheck(torch.ops.jarvis_nano.linear_cross_entropy_backward_.default, arguments_back)


def test_opcheck_of_the_rows():
    needs("cpp")
    x, weight, target = arguments(6, 4, 11)
    figures = [torch.empty(6) for _ in range(4)]
    rows = torch.ops.jarvis_nano.cross_entropy_rows_.default
    torch.library.opcheck(rows, (x @ weight.T, target.clamp_min(0), *figures, 0.1, True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_in_one_graph_gives_what_eager_gives(backend):
    needs(backend)
    torch._dynamo.reset()
    x, weight, target = arguments(40, 16, 100, device=DEVICE[backend])

    def step(x, weight):
        figures = kernels.linear_cross_entropy(
            x.view(4, 10, 16), weight, target.view(4, 10), z_loss=1e-3, backend=backend
        )
        return tuple(figure.flatten() for figure in figures)

    # The reference is plain torch, and the interpreter is not what inductor will meet.
    inductor = "inductor" if backend == "cpp" or (backend == "triton" and HAS_GPU) else "aot_eager"
    compiled = with_gradients(torch.compile(step, fullgraph=True, backend=inductor), x, weight, torch.sum)
    eager = with_gradients(step, x, weight, torch.sum)
    for name in eager:
        torch.testing.assert_close(compiled[name], eager[name], rtol=1e-5, atol=1e-5)


def test_fake_tensors_pass_through():
    needs("cpp")
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        x, weight = torch.empty(2, 3, 8, requires_grad=True), torch.empty(50, 8, requires_grad=True)
        figures = kernels.linear_cross_entropy(x, weight, torch.zeros(2, 3, dtype=torch.int64), backend="cpp")
        figures.loss.mean().backward()
    assert all(figure.shape == (2, 3) for figure in figures)
    assert weight.grad.shape == (50, 8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_and_leading_dimensions_do_not_matter(backend):
    needs(backend)
    x, weight, target = arguments(60, 12, 40, device=DEVICE[backend])

    def run(x, weight, target):
        return lambda: with_gradients(
            lambda x, w: kernels.linear_cross_entropy(x, w, target, backend=backend), x, weight, torch.sum
        )

    plain = run(x, weight, target)()
    strided = run(torch.stack([x, x], 2)[..., 0], weight.t().contiguous().t(), torch.stack([target] * 2, 1)[:, 0])()
    folded = run(x.view(3, 4, 5, 12), weight, target.view(3, 4, 5))()
    assert folded["loss"].shape == (3, 4, 5)
    for name in plain:
        torch.testing.assert_close(strided[name], plain[name], rtol=1e-5, atol=1e-6)
        assert torch.equal(folded[name].view_as(plain[name]), plain[name])


@pytest.mark.parametrize("backend", BACKENDS)
def test_ignored_tokens_leave_no_trace(backend):
    needs(backend)
    x, weight, target = arguments(30, 8, 20, ignored=0.5, device=DEVICE[backend])
    counted = target != -100

    def run(x, target):
        return with_gradients(
            lambda x, w: kernels.linear_cross_entropy(x, w, target, z_loss=0.1, backend=backend), x, weight, torch.sum
        )

    whole, alone = run(x, target), run(x[counted], target[counted])
    for name in (*NAMES, "dx"):
        torch.testing.assert_close(whole[name][counted], alone[name])
        assert not whole[name][~counted].any()
    torch.testing.assert_close(whole["d_weight"], alone["d_weight"])
    nothing = run(x, torch.full_like(target, -100))
    assert not any(figure.any() for figure in nothing.values())
    other = kernels.linear_cross_entropy(x, weight, target.where(counted, 3), ignore_index=3, backend=backend)
    assert not other.loss[~counted].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_an_ignored_token_would_send_back_does_not_count(backend):
    """1/p weights and the like are infinite exactly where nothing is counted."""
    needs(backend)
    x, weight, target = arguments(20, 8, 30, device=DEVICE[backend])
    ones = torch.ones(20, device=DEVICE[backend])
    gradient = ones.masked_fill(target == -100, float("inf"))

    def run(gradient):
        leaves = [x.detach().requires_grad_(), weight.detach().requires_grad_()]
        loss = kernels.linear_cross_entropy(*leaves, target, backend=backend).loss
        return torch.autograd.grad(loss, leaves, gradient)

    for found, expected in zip(run(gradient), run(ones)):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hit_is_the_first_of_the_largest(backend):
    needs(backend)
    x, weight = torch.ones(4, 1), torch.tensor([1.0, 3, 2, 3, 0, 3, 1, 1, 1, 3])[:, None]
    tensors = (tensor.to(DEVICE[backend]) for tensor in (x, weight, torch.tensor([1, 3, 9, 2])))
    figures = kernels.linear_cross_entropy(*tensors, backend=backend)
    assert figures.hit.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_the_loss_has_a_gradient_and_only_for_what_wants_one(backend):
    needs(backend)
    x, weight, target = arguments(6, 4, 10, device=DEVICE[backend])
    figures = kernels.linear_cross_entropy(x.requires_grad_(), weight, target, backend=backend)
    assert [figure.requires_grad for figure in figures] == [True, False, False, False]
    figures.loss.sum().backward()
    assert weight.grad is None
    frozen = kernels.linear_cross_entropy(x.detach(), weight.requires_grad_(), target, backend=backend)
    frozen.loss.sum().backward()
    assert x.grad.any()
    assert weight.grad.any()
    with torch.no_grad():
        assert not kernels.linear_cross_entropy(x, weight, target, backend=backend).loss.requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_backward_gives_the_same(backend):
    needs(backend)
    x, weight, target = arguments(40, 8, 50, device=DEVICE[backend])
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    loss = kernels.linear_cross_entropy(*leaves, target, backend=backend).loss
    for reduce in (mean, uneven):
        once, twice = (torch.autograd.grad(reduce(loss), leaves, retain_graph=True) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(once, twice))


def test_the_first_backward_takes_what_the_forward_prepared_and_a_second_prepares_it_again():
    """No second d_weight in memory; and what became of the first result does not reach the second."""
    needs("cpp")
    x, weight, target = arguments(700, 8, 50)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    for reduce in (mean, uneven):
        loss = kernels.linear_cross_entropy(*leaves, target, backend="cpp").loss
        places = [tensor.data_ptr() for tensor in loss.grad_fn.prepared]
        once = torch.autograd.grad(reduce(loss), leaves, retain_graph=True)
        assert [gradient.data_ptr() for gradient in once] == places
        kept = [gradient.clone() for gradient in once]
        for gradient in once:
            gradient.zero_()
        assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(reduce(loss), leaves), kept))


def test_the_op_in_place_and_the_one_that_makes_new_tensors_agree():
    needs("cpp")
    x, weight, target = arguments(700, 8, 50)
    ops, settings = torch.ops.jarvis_nano, (-100, 0.1, True, True)
    *_, dx, d_weight = ops.linear_cross_entropy(x, weight, target, *settings)
    prepared = dx.clone(), d_weight.clone()
    for d_loss in (torch.ones(1).expand(700), torch.full((700,), 0.5), torch.linspace(-1, 1, 700)):
        results = ops.linear_cross_entropy_backward(d_loss, x, weight, target, dx, d_weight, *settings)
        assert torch.equal(dx, prepared[0])
        assert torch.equal(d_weight, prepared[1])
        in_place = dx.clone(), d_weight.clone()
        ops.linear_cross_entropy_backward_(d_loss, x, weight, target, *in_place, *settings)
        assert all(torch.equal(a, b) for a, b in zip(results, in_place))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_derivative_of_the_gradient_is_refused(backend):
    needs(backend)
    x, weight, target = arguments(6, 4, 10, device=DEVICE[backend])
    loss = kernels.linear_cross_entropy(x.requires_grad_(), weight.requires_grad_(), target, backend=backend).loss
    (d_weight,) = torch.autograd.grad((loss * loss).sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        d_weight.sum().backward()


def test_large_pages_change_no_value_and_want_a_dense_tensor():
    needs("cpp")
    use_huge_pages = torch.ops.jarvis_nano.use_huge_pages_
    for n in (0, 1, 2**20 + 1, 2**22 + 7):
        tensor = torch.arange(n, dtype=torch.float32)
        use_huge_pages(tensor)
        assert torch.equal(tensor, torch.arange(n, dtype=torch.float32))
    torch.library.opcheck(use_huge_pages.default, (torch.zeros(3, 5),))
    with pytest.raises(RuntimeError, match="use_huge_pages_: a strided tensor"):
        use_huge_pages(torch.zeros(3, 5).t())


@pytest.mark.parametrize("backend", ["cpp", "triton"])
def test_repeats_are_equal_bit_for_bit(backend):
    needs(backend)
    interpreted = backend == "triton" and not HAS_GPU
    x, weight, target = arguments(*(20, 8, 300) if interpreted else (1300, 16, 4500), device=DEVICE[backend])

    def run():
        return with_gradients(lambda x, w: kernels.linear_cross_entropy(x, w, target, backend=backend), x, weight, mean)

    first = run()
    for _ in range(2 if interpreted else 10):
        again = run()
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("backend", BACKENDS)
def test_logits_of_any_size_do_not_overflow(backend):
    needs(backend)
    x, weight, target = arguments(20, 8, 30, ignored=0, device=DEVICE[backend])
    found = with_gradients(
        lambda x, w: kernels.linear_cross_entropy(x, w, target, backend=backend), x * 1e4, weight, mean
    )
    truth = with_gradients(lambda x, w: of_torch(x, w, target, 0), (x * 1e4).double(), weight.double(), mean)
    for name in truth:
        torch.testing.assert_close(found[name].double(), truth[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_not_a_number_stays_visible(backend):
    needs(backend)
    x, weight, target = arguments(9, 8, 30, ignored=0, device=DEVICE[backend])
    x[4, 2] = float("nan")
    figures = kernels.linear_cross_entropy(x, weight, target, backend=backend)
    assert figures.loss.isnan().nonzero().tolist() == figures.entropy.isnan().nonzero().tolist() == [[4]]


def test_the_chunks_share_one_buffer_of_bounded_size():
    x, weight, _ = arguments(1500, 4, 9000)
    settings = chunks.Chunks(chunks.rows_in_a_chunk(9000), 9000, lambda *_: None)
    seen = [(rows, logits.data_ptr()) for rows, _, logits in chunks.logits_in_chunks(x, weight, settings)]
    assert len({pointer for _, pointer in seen}) == 1
    assert max(rows.stop - rows.start for rows, _ in seen) <= 600
    assert [rows.start for rows, _ in seen[1:]] == [rows.stop for rows, _ in seen[:-1]]
    assert seen[-1][0].stop == 1500


@pytest.mark.parametrize(
    ("x", "weight", "target", "says"),
    [
        (torch.zeros(2, 3), torch.zeros(5, 4), torch.zeros(2).long(), r"weight \(5, 4\) does not fit x \(2, 3\)"),
        (torch.zeros(2, 3), torch.zeros(0, 3), torch.zeros(2).long(), r"weight \(0, 3\)"),
        (torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(3).long(), r"targets \(3,\) for x \(2, 3\)"),
        (torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(2), "float32; expected torch.int64"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cannot_run_says_why(backend, x, weight, target, says):
    needs(backend)
    with pytest.raises(UserError, match=says):
        kernels.linear_cross_entropy(*(t.to(DEVICE[backend]) for t in (x, weight, target)), backend=backend)


@pytest.mark.parametrize(("target", "says"), [([1, 5], "target 5 .* 0 to 4"), ([-1, 4], "target -1 .* 0 to 4")])
@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_a_target_that_is_no_id_is_refused_on_the_cpu(backend, target, says):
    needs(backend)
    with pytest.raises(UserError, match=says):
        kernels.linear_cross_entropy(torch.zeros(2, 3), torch.zeros(5, 3), torch.tensor(target), backend=backend)


@pytest.fixture
def triton_kernel():
    needs("triton")
    from jarvis_nano.kernels.cross_entropy import triton_kernel

    return triton_kernel


def test_triton_makes_a_wrong_target_visible_without_waiting(triton_kernel):
    x, weight, _ = arguments(4, 3, 5, device=DEVICE["triton"])
    target = torch.tensor([1, 5, -1, -100], device=x.device)
    found = with_gradients(
        lambda x, w: kernels.linear_cross_entropy(x, w, target, backend="triton"), x, weight, torch.sum
    )
    assert found["loss"].isnan().tolist() == [False, True, True, False]
    assert found["dx"].isnan().any(1).tolist() == [False, True, True, False]
    assert found["d_weight"].isnan().all()
    assert not any(found[name].isnan().any() for name in ("log_z", "entropy", "hit"))


@pytest.mark.parametrize("x_dtype", [torch.float32, torch.bfloat16], ids=str)
def test_under_autocast_triton_multiplies_as_a_linear_layer_would(x_dtype, small_chunks):
    """x in float32 is what the final norm gives; the weight is float32, and so is its gradient, unrounded."""
    needs("triton")
    device = DEVICE["triton"]
    x, weight, target = arguments(40, 16, 300, device=device)
    x = x.to(x_dtype)

    def autocast(run):
        def within(x, weight):
            with torch.autocast(device, torch.bfloat16):
                return run(x, weight)

        return within

    def ours(x, weight):
        return kernels.linear_cross_entropy(x, weight, target, z_loss=0.01, backend="triton")

    def of(x, weight):
        return of_torch(x, weight, target, 0.01)

    for reduce in (mean, uneven):
        found = with_gradients(autocast(ours), x, weight, reduce)
        theirs = with_gradients(autocast(of), x, weight, reduce)
        truth = with_gradients(of, x.double(), weight.double(), reduce)
        assert found["dx"].dtype == x_dtype
        assert found["d_weight"].dtype == found["loss"].dtype == torch.float32
        assert (found["d_weight"] != found["d_weight"].bfloat16()).any()
        for name in truth:
            atol = ATOL[torch.bfloat16] * (1 if HAS_GPU else 8) * max(1.0, truth[name].abs().max().item())
            if name != "hit":
                error_rule.check(name, found[name], theirs[name], truth[name], atol)


def test_triton_chunks_are_bounded_even_and_aligned(triton_kernel):
    for n, vocabulary, dtype in ((16384, 50257, torch.bfloat16), (700, 50304, torch.float32), (1, 5, torch.float16)):
        settings = triton_kernel.chunks_for(torch.empty(n, 1, dtype=dtype, device="meta"), vocabulary, -100, 0.0)
        assert settings.n_rows * settings.stride * dtype.itemsize <= triton_kernel._BYTES_IN_A_CHUNK
        assert settings.n_rows % 128 == 0
        assert settings.stride % 64 == 0
        assert 0 <= settings.stride - vocabulary < 64
    assert triton_kernel.chunks_for(torch.empty(16384, 1, device="meta").half(), 50257, -100, 0.0).n_rows == 4096


def test_triton_reads_nothing_past_the_vocabulary(triton_kernel):
    """Rows of logits are longer than V; what lies there is not initialised."""
    x, weight, target = arguments(3, 4, 70, ignored=0, device=DEVICE["triton"])
    settings = triton_kernel.chunks_for(x, 70, -100, 0.0)
    results = []
    for filling in (0.0, 1e30, float("nan")):
        buffer = torch.full((3, settings.stride), filling, device=x.device)
        buffer[:, :70] = x @ weight.T
        figures = tuple(torch.empty(3, device=x.device) for _ in range(4))
        settings.over_rows(buffer[:, :70], target, figures, True)
        results.append((*figures, buffer[:, :70]))
    for found in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found, results[0]))


class Launched:
    """Stands in for a kernel: takes a grid and arguments, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __getitem__(self, grid):
        return self

    def __call__(self, *arguments, **constants) -> None:
        self.count += 1


def test_triton_never_waits_for_the_gpu(triton_kernel, monkeypatch):
    """Fake tensors have no values: whoever waits for one raises."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    launched = Launched()
    monkeypatch.setattr(triton_kernel, "_cross_entropy_rows", launched)
    monkeypatch.setattr(triton_kernel, "_BYTES_IN_A_CHUNK", 1)
    with FakeTensorMode():
        x, weight = torch.empty(300, 8, dtype=torch.bfloat16), torch.empty(50, 8)
        target = torch.empty(300, dtype=torch.int64)
        *_, dx, d_weight = triton_kernel.forward(x, weight, target, -100, 0.1, True, True)
        for d_loss in (torch.ones(1).expand(300), torch.ones(300)):
            given = (d_loss, x, weight, target, dx, d_weight, -100, 0.1, True, True)
            own_dx, own_d_weight = triton_kernel.backward(*given)
            assert (own_dx.dtype, own_d_weight.dtype) == (torch.bfloat16, torch.float32)
    assert launched.count == 3 + 0 + 3


def test_products_on_a_gpu_keep_float32_sums(monkeypatch):
    """Narrow operands are not widened, their sum is."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    called = []

    for name in ("mm", "addmm"):

        def watched(*tensors, out_dtype, out, name=name):
            called.append((name, *{tensor.dtype for tensor in tensors[-2:]}, out_dtype))
            assert all(tensor is out for tensor in tensors[:-2])

        monkeypatch.setattr(torch, name, watched)
    with FakeTensorMode():
        logits = torch.empty(64, 50, device="cuda", dtype=torch.bfloat16)
        x, d_weight = torch.empty(64, 8, device="cuda", dtype=torch.bfloat16), torch.empty(50, 8, device="cuda")
        chunks._multiply(logits.t(), x, into=d_weight)
        chunks._multiply(logits.t(), x, into=d_weight, add=True)
    assert called == [("mm", torch.bfloat16, torch.float32), ("addmm", torch.bfloat16, torch.float32)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_triton_computes_the_logits_once_for_a_sum(triton_kernel, monkeypatch, compiled):
    """Whether all tokens have one loss gradient is read from its stride: nothing may make it dense on the way."""
    monkeypatch.setattr(triton_kernel, "d_weight_in_chunks", lambda *_, **__: pytest.fail("logits again"))
    x, weight, target = arguments(12, 4, 9, device=DEVICE["triton"])

    def step(x, weight):
        loss = kernels.linear_cross_entropy(x.view(3, 4, 4), weight, target.view(3, 4), backend="triton").loss
        return loss.sum() / (target != -100).sum()

    torch._dynamo.reset()
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    loss = (torch.compile(step, fullgraph=True, backend="aot_eager") if compiled else step)(*leaves)
    gradients = torch.autograd.grad(loss, leaves)
    assert all(gradient.any() for gradient in gradients)


def test_fake_tensors_on_cuda_pass_through_the_triton_op():
    from torch._subclasses.fake_tensor import FakeTensorMode

    pytest.importorskip("triton")
    with FakeTensorMode(), torch.no_grad():  # autograd on fake CUDA tensors needs a torch with CUDA
        x = torch.empty(6, 8, device="cuda", dtype=torch.bfloat16)
        weight, target = torch.empty(50, 8, device="cuda"), torch.empty(6, dtype=torch.int64, device="cuda")
        figures = kernels.linear_cross_entropy(x, weight, target, backend="triton")
        forward, backward = OP.kernels["triton"]
        *_, dx, d_weight = forward(x, weight, target, -100, 0.0, True, True)
        gradients = backward(figures.loss, x, weight, target, dx, d_weight, -100, 0.0, True, True)
    assert all(figure.shape == (6,) and figure.device.type == "cuda" for figure in figures)
    assert [(g.dtype, g.shape) for g in gradients] == [(torch.bfloat16, (6, 8)), (torch.float32, (50, 8))]


def test_the_raw_op_checks_before_it_reads_memory():
    needs("cpp")
    logits, target, figures = torch.zeros(3, 8), torch.zeros(3).long(), [torch.zeros(3) for _ in range(4)]
    rows = torch.ops.jarvis_nano.cross_entropy_rows_.default
    for broken in (
        (logits.double(), target, *figures),
        (logits[:2], target, *figures),
        (logits, target.int(), *figures),
        (logits, target + 8, *figures),
        (logits, target, torch.zeros(2), *figures[1:]),
        (torch.zeros(8, 3).t(), target, *figures),
    ):
        with pytest.raises(RuntimeError, match="cross_entropy: "):
            rows(*broken, 0.0, True)
