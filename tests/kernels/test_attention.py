"""Causal attention in every backend against torch in float64; docs/attention.md has the maths."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import error_rule
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jarvis_nano import kernels
from jarvis_nano.errors import UserError
from jarvis_nano.kernels.attention.op import OP

HAS_GPU = torch.cuda.is_available()
BACKENDS = ("reference", "cpp", "triton")
DEVICE = {"reference": "cpu", "cpp": "cpu", "triton": "cuda" if HAS_GPU else "cpu", "cuda": "cuda"}
ATOL = {torch.float32: 2e-6, torch.bfloat16: 2e-3, torch.float16: 2e-4}
# (B, H, Hkv, T, S, D): one position, odd everything, no multiple of a block, shared heads, one query, many keys
UGLY = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 3, 7, 7, 5),
    (1, 2, 2, 108, 108, 64),
    (1, 1, 1, 239, 239, 1),
    (1, 2, 1, 113, 203, 24),
    (2, 6, 2, 50, 50, 16),
    (1, 1, 1, 100, 100, 100),
    (2, 4, 2, 1, 77, 33),
    (1, 2, 2, 3, 130, 64),
    (1, 1, 1, 799, 799, 3),
    (1, 1, 1, 30, 30, 256),
    (1, 1, 1, 60, 2200, 8),
]
MASKS = ["all", "window", "document", "both"]


def needs(backend: str, dtype: torch.dtype | None = None) -> None:
    if reason := OP.why_not(backend, DEVICE[backend], dtype):
        pytest.skip(reason)
    if backend == "triton" and not HAS_GPU and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter multiplies bfloat16 wrongly")


def here(backend: str, tensors):
    """The tensors on the backend's device."""
    return [None if t is None else t.to(DEVICE[backend]) for t in tensors]


def drawn(*shape: int, dtype=torch.float32, seed=0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)


def arguments(B, H, Hkv, T, S, D, dtype=torch.float32) -> list[Tensor]:
    """q, k, v and the output's gradient."""
    q, k, v, d_out = ((B, H, T, D), (B, Hkv, S, D), (B, Hkv, S, D), (B, H, T, D))
    return [drawn(*shape, dtype=dtype, seed=i) for i, shape in enumerate((q, k, v, d_out))]


def masks(kind: str, B: int, S: int) -> tuple[int | None, Tensor | None]:
    """A window that ends inside a block, and documents of all lengths (one id comes twice, apart)."""
    window = max(1, S // 3) if kind in ("window", "both") else None
    document = None
    if kind in ("document", "both"):
        lengths = [1, 2, S // 5, S // 7, 30]
        ids = [i % 3 for i, n in enumerate(lengths) for _ in range(n)]
        document = torch.tensor([(ids + [7] * S)[:S], ([5] + ids + [5] * S)[:S]] * B)[:B]
    return window, document


def definition(T: int, S: int, window: int | None, document: Tensor | None, B: int) -> Tensor:
    """Which pairs see each other: (B, 1, T, S). Two positions share a document when no id changes between them."""
    query, key = torch.arange(S)[S - T :, None], torch.arange(S)
    mask = ((key <= query) & (query - key < (window or S + 1))).expand(B, 1, T, S)
    if document is None:
        return mask
    changes = F.pad(document.diff(dim=1).ne(0).cumsum(1), (1, 0))
    return mask & (changes[:, S - T :, None] == changes[:, None, :])[:, None]


def with_gradients(run, q, k, v, d_out) -> dict[str, Tensor]:
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    out = run(*leaves)
    results = (out.detach(), *torch.autograd.grad(out, leaves, d_out))
    return dict(zip(("out", "dq", "dk", "dv"), (result.cpu() for result in results)))


@cache
def of_torch(shape: tuple[int, ...], kind: str, dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """torch's results on `arguments(*shape)` in float64, and in the dtype."""
    B, _, _, T, S, _ = shape
    mask = definition(T, S, *masks(kind, B, S), B)

    def run(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3, enable_gqa=True)

    tensors = arguments(*shape, dtype=dtype)
    return with_gradients(run, *(t.double() for t in tensors)), with_gradients(run, *tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_error_is_at_most_twice_that_of_torch(backend, kind, dtype):
    needs(backend, dtype)
    for shape in UGLY:
        B, _, _, T, S, _ = shape
        if T * S > 50_000 and (kind == "document" or dtype != torch.float32 or (backend == "triton" and kind != "all")):
            continue  # slow in torch or in Triton's interpreter, and nothing new
        window, document = masks(kind, B, S)
        document = None if document is None else document.to(DEVICE[backend])

        def run(q, k, v, window=window, document=document):
            return kernels.causal_attention(q, k, v, scale=0.3, window=window, document=document, backend=backend)

        found = with_gradients(run, *here(backend, arguments(*shape, dtype=dtype)))
        truth, theirs = of_torch(shape, kind, dtype)
        for name in truth:
            assert found[name].dtype == dtype
            atol = ATOL[dtype] * max(1.0, truth[name].abs().max().item())
            error_rule.check(f"{name} {shape}", found[name], theirs[name], truth[name], atol)


@pytest.mark.parametrize("kind", MASKS)
def test_the_references_gradient_is_the_derivative(kind):
    window, document = masks(kind, 1, 5)
    q, k, v, _ = (t.requires_grad_() for t in arguments(1, 2, 1, 4, 5, 2, dtype=torch.float64))

    def run(q, k, v):
        return kernels.causal_attention(q, k, v, window=window, document=document, backend="reference")

    assert torch.autograd.gradcheck(run, (q, k, v))


def test_double_is_computed_in_double_by_the_reference():
    q, k, v, _ = arguments(1, 2, 2, 9, 9, 4, dtype=torch.float64)
    truth = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(kernels.causal_attention(q, k, v), truth, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", ["all", "both"])
@pytest.mark.parametrize("backend", ["cpp", "triton"])
def test_opcheck(backend, kind):
    needs(backend)
    kernels.causal_attention(*here(backend, arguments(1, 1, 1, 1, 1, 1)[:3]), backend=backend)  # loads the kernels
    overload = "triton" if backend == "triton" else "default"
    window, document = masks(kind, 2, 20)
    q, k, v, d_out, document = here(backend, [*arguments(2, 4, 2, 13, 20, 8), document])
    forward = getattr(torch.ops.jarvis_nano.causal_attention, overload)
    backward = getattr(torch.ops.jarvis_nano.causal_attention_backward, overload)
    torch.library.opcheck(forward, (q, k, v, 0.5, window, document))
    out, lse = forward(q, k, v, 0.5, window, document)
    for gradient in (d_out, torch.ones(1, device=q.device).expand(d_out.shape)):
        torch.library.opcheck(backward, (gradient, q, k, v, out, lse, 0.5, window, document))


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_in_one_graph_gives_what_eager_gives(backend):
    needs(backend)
    torch._dynamo.reset()
    tensors = here(backend, arguments(2, 4, 2, 30, 30, 16))

    def step(q, k, v):  # nothing around the op: Inductor then has nothing of its own to compile, which takes 10 s
        return kernels.causal_attention(q, k, v, window=9, backend=backend)

    inductor = "inductor" if backend == "cpp" else "aot_eager"  # the reference is plain torch
    compiled = with_gradients(torch.compile(step, fullgraph=True, backend=inductor), *tensors)
    eager = with_gradients(step, *tensors)
    for name in eager:
        torch.testing.assert_close(compiled[name], eager[name], rtol=1e-5, atol=1e-5)


def test_fake_tensors_get_the_strides_of_real_ones():
    needs("cpp")
    from torch._subclasses.fake_tensor import FakeTensorMode

    real = kernels.causal_attention(*arguments(2, 4, 2, 5, 9, 8)[:3], backend="cpp")
    with FakeTensorMode():
        q, k = torch.empty(2, 4, 5, 8), torch.empty(2, 2, 9, 8)
        fake = kernels.causal_attention(q, k, k, backend="cpp")
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_do_not_matter(backend, dtype):
    needs(backend, dtype)
    B, H, T, D = 2, 3, 70, 24
    packed = drawn(B, T, 3 * H * D, dtype=dtype).to(DEVICE[backend])  # a projection's output, read in place
    views = [t.view(B, T, H, D).transpose(1, 2) for t in packed.split(H * D, -1)]
    one = torch.ones((), dtype=dtype, device=packed.device).expand(B, H, T, D)  # of sum().backward(): strides of 0
    transposed = [t.transpose(2, 3).contiguous().transpose(2, 3) for t in views]  # no unit stride anywhere

    def run(q, k, v):
        return kernels.causal_attention(q, k, v, backend=backend)

    plain = with_gradients(run, *(t.contiguous() for t in views), one.contiguous())
    for q, k, v in (views, transposed):
        other = with_gradients(run, q, k, v, one)
        for name in plain:
            assert torch.equal(plain[name], other[name]), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_heads_join_again_without_a_copy(backend):
    needs(backend)
    q, k, v, _ = here(backend, arguments(2, 4, 2, 9, 9, 8))
    out = kernels.causal_attention(q, k, v, backend=backend)
    assert out.transpose(1, 2).reshape(2, 9, 32).data_ptr() == out.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("backend", ["reference", "cpp"])
def test_a_packed_projection_gives_what_its_parts_give(backend, dtype):
    needs(backend)
    torch.manual_seed(0)
    document = torch.randint(0, 3, (2, 37)).sort(dim=1).values
    for H, Hkv, D, more in ((4, 2, 16, {}), (3, 3, 8, {"window": 5, "document": document}), (2, 1, 5, {"scale": 0.3})):
        packed = torch.randn(2, H + 2 * Hkv, 37, D, dtype=dtype).transpose(1, 2).requires_grad_()  # no dense one
        parts = packed.transpose(1, 2).split((H, Hkv, Hkv), dim=1)
        d_out = torch.randn(2, H, 37, D, dtype=dtype)
        apart = kernels.causal_attention(*parts, backend=backend, **more)
        together = kernels.causal_attention_packed(packed, H, backend=backend, **more)
        assert torch.equal(apart, together)
        gradients = [torch.autograd.grad(out, packed, d_out)[0] for out in (apart, together)]
        assert torch.equal(*gradients)
        assert gradients[0].any()
        assert torch.equal(kernels.causal_attention_packed(packed.detach(), H, backend=backend, **more), apart)


def test_the_packed_op_passes_opcheck_and_compiles():
    needs("cpp")
    qkv = torch.randn(2, 9, 4, 8, requires_grad=True)
    with torch.no_grad():
        out, lse = OP.kernels[OP.choose(qkv)].forward(*qkv.transpose(1, 2).split((2, 1, 1), dim=1), 0.3, None, None)
    op = torch.ops.jarvis_nano.causal_attention_packed_backward.default
    torch.library.opcheck(op, (torch.randn_like(out), qkv.detach(), out, lse, 2, 0.3, None, None))
    with pytest.raises(RuntimeError, match="causal_attention: "):
        op(torch.randn_like(out), qkv.detach(), out, lse, 3, 0.3, None, None)
    attend = lambda qkv: kernels.causal_attention_packed(qkv, 2).square().sum()  # noqa: E731
    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        torch.autograd.grad(compiled(qkv), qkv)[0], torch.autograd.grad(attend(qkv), qkv)[0], rtol=1e-5, atol=1e-5
    )
    for heads in (0, 4, 3):
        with pytest.raises(UserError, match="query heads"):
            kernels.causal_attention_packed(qkv, heads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_in_nothing_out(backend):
    needs(backend)
    for B, H, Hkv, T, S in ((0, 2, 1, 5, 5), (2, 2, 1, 0, 0), (2, 2, 1, 0, 4), (2, 0, 1, 3, 3)):
        tensors = here(backend, arguments(B, H, Hkv, T, S, 8))
        found = with_gradients(lambda q, k, v: kernels.causal_attention(q, k, v, backend=backend), *tensors)
        assert found["out"].shape == (B, H, T, 8)
        assert found["dk"].shape == found["dv"].shape == (B, Hkv, S, 8)
        assert not found["dk"].any()


def test_repeats_are_equal_bit_for_bit_whatever_the_threads():
    needs("cpp")
    # Few heads: the rows are shared out over the threads; many: the heads are.
    for shape in ((1, 1, 1, 600, 600, 32), (3, 4, 2, 70, 90, 16)):
        tensors = arguments(*shape)

        def run(q, k, v):
            return kernels.causal_attention(q, k, v, window=333, backend="cpp")

        first = with_gradients(run, *tensors)
        threads = torch.get_num_threads()
        try:
            for n in (1, 2, 3) * 5:
                torch.set_num_threads(n)
                again = with_gradients(run, *tensors)
                assert all(torch.equal(first[k], again[k]) for k in first)
        finally:
            torch.set_num_threads(threads)


def test_repeats_in_triton_are_equal_bit_for_bit():
    needs("triton")
    tensors = here("triton", arguments(2, 4, 2, 70, 90, 16))
    runs = [
        with_gradients(lambda q, k, v: kernels.causal_attention(q, k, v, window=33, backend="triton"), *tensors)
        for _ in range(3)
    ]
    assert all(torch.equal(runs[0][name], again[name]) for again in runs[1:] for name in again)


@pytest.mark.parametrize(("setting", "precision"), [("tf32", "tf32"), ("ieee", "ieee")])
def test_float32_is_multiplied_as_torch_is_told(setting, precision):
    """Whichever of torch's switches was used: reading the older one after the newer one has been set is an error."""
    needs("triton")
    from jarvis_nano.kernels.attention import triton_kernel

    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = setting
        assert triton_kernel._precision(SimpleNamespace(is_cuda=True)) == precision
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    assert triton_kernel._precision(torch.zeros(1)) == "ieee"


@pytest.mark.skipif(HAS_GPU, reason="a GPU multiplies bfloat16 rightly")
def test_the_interpreter_refuses_bfloat16_in_place_of_a_wrong_result():
    needs("triton")
    q, k, v, _ = arguments(1, 1, 1, 5, 5, 8, dtype=torch.bfloat16)
    with pytest.raises(UserError, match="interpreter multiplies bfloat16 matrices wrongly"):
        kernels.causal_attention(q, k, v, backend="triton")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cache_continues_where_the_whole_text_left_off(backend):
    needs(backend)
    q, k, v, _ = here(backend, arguments(2, 4, 2, 40, 40, 16))
    whole = kernels.causal_attention(q, k, v, window=25, backend=backend)
    for n in (1, 2, 9):
        tail = kernels.causal_attention(q[:, :, -n:], k, v, window=25, backend=backend)
        torch.testing.assert_close(tail, whole[:, :, -n:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_packed_in_one_row_stay_apart(backend):
    needs(backend)
    q, k, v, _ = here(backend, arguments(1, 2, 2, 50, 50, 16))
    document = torch.tensor([[3] * 20 + [1] * 30], device=q.device)
    packed = kernels.causal_attention(q, k, v, document=document, backend=backend)
    for part in (slice(0, 20), slice(20, 50)):
        alone = kernels.causal_attention(q[:, :, part], k[:, :, part], v[:, :, part], backend=backend)
        torch.testing.assert_close(packed[:, :, part], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_long_document_is_seen_back_to_its_start(backend):
    needs(backend)
    q, k, v, _ = here(backend, arguments(1, 1, 1, 5, 2200, 8))
    document = torch.tensor([[3] * 90 + [1] * 2110], device=q.device)
    packed = kernels.causal_attention(q, k, v, document=document, backend=backend)
    alone = kernels.causal_attention(q, k[:, :, 90:], v[:, :, 90:], backend=backend)
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_of_any_size_do_not_overflow(backend):
    needs(backend)
    q, k, v, _ = here(backend, arguments(1, 1, 1, 20, 20, 8))
    for sign in (1, -1):  # the softmax is then the one largest score
        out = kernels.causal_attention(q, k, v, scale=sign * 1e4, backend=backend)
        truth = F.scaled_dot_product_attention(sign * q.double(), k.double(), v.double(), is_causal=True, scale=1e4)
        torch.testing.assert_close(out.double(), truth, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("T", [1, 20])
@pytest.mark.parametrize("backend", BACKENDS)
def test_not_a_number_stays_visible(backend, T):
    needs(backend)
    q, k, v, _ = here(backend, arguments(1, 2, 2, T, 20, 8))
    q[0, 1, T // 2, 3] = float("nan")
    out = kernels.causal_attention(q, k, v, backend=backend)
    assert out.isnan().any(-1).nonzero().tolist() == [[0, 1, T // 2]]


def test_half_precision_falls_to_the_reference():
    q, k, v, _ = arguments(1, 2, 2, 9, 9, 8, dtype=torch.float16)
    truth = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=True)
    out = kernels.causal_attention(q, k, v)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), truth, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_under_autocast_mixed_dtypes_meet_in_the_narrow_one_and_others_stay(backend):
    needs(backend)
    if backend == "triton":
        needs(backend, torch.bfloat16)
    q, k, v, _ = here(backend, arguments(1, 2, 2, 9, 9, 8))
    with torch.autocast(q.device.type, torch.bfloat16):
        assert kernels.causal_attention(q, k, v.bfloat16(), backend=backend).dtype == torch.bfloat16
        inside = kernels.causal_attention(q, k, v, backend=backend)
    assert torch.equal(inside, kernels.causal_attention(q, k, v, backend=backend))


def zeros(*shape: int, dtype=torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("q", "k", "v", "options", "says"),
    [
        (zeros(2, 3, 4), zeros(1, 2, 3, 4), zeros(1, 2, 3, 4), {}, "expected four dimensions"),
        (zeros(1, 2, 3, 4), zeros(1, 2, 3, 5), zeros(1, 2, 3, 5), {}, r"k \(1, 2, 3, 5\).*do not go with q"),
        (zeros(1, 2, 3, 4), zeros(1, 2, 3, 4), zeros(1, 2, 4, 4), {}, r"v \(1, 2, 4, 4\)"),
        (zeros(1, 3, 3, 4), zeros(1, 2, 3, 4), zeros(1, 2, 3, 4), {}, "3 query heads cannot share 2"),
        (zeros(1, 2, 3, 4), zeros(1, 2, 2, 4), zeros(1, 2, 2, 4), {}, "3 queries but 2 keys"),
        (zeros(1, 2, 3, 4), *[zeros(1, 2, 3, 4, dtype=torch.bfloat16)] * 2, {}, "float32, torch.bfloat16"),
        (*[zeros(1, 2, 3, 4)] * 3, {"window": 0}, "a window of 0"),
        (*[zeros(1, 2, 3, 4)] * 3, {"document": torch.zeros(1, 2).int()}, r"\(1, 2\).*expected whole numbers \(1, 3\)"),
        (*[zeros(1, 2, 3, 4)] * 3, {"document": torch.zeros(1, 3)}, "float32; expected whole numbers"),
        (*[zeros(1, 2, 3, 4)] * 3, {"backend": "cuda"}, "takes bfloat16, float16, not float32"),
        (*[zeros(1, 2, 3, 80, dtype=torch.float16)] * 3, {"backend": "cuda"}, "widths of 64 or 128, not 80"),
        (*[zeros(1, 2, 3, 264)] * 3, {"backend": "triton"}, "widths of 1 to 256, not 264"),
        (*[zeros(1, 2, 3, 64, dtype=torch.float16)] * 3, {"backend": "cuda"}, "a GPU, the tensor is on cpu|cannot run"),
        (*[zeros(1, 2, 3, 4, dtype=torch.float64)] * 3, {"backend": "cpp"}, "not float64"),
    ],
)
def test_what_cannot_run_says_why(q, k, v, options, says):
    with pytest.raises(UserError, match=says):
        kernels.causal_attention(q, k, v, **options)


def test_the_raw_op_checks_before_it_reads_memory():
    needs("cpp")
    q, k, v, d_out = arguments(1, 2, 2, 5, 5, 8)
    forward = torch.ops.jarvis_nano.causal_attention.default
    backward = torch.ops.jarvis_nano.causal_attention_backward.default
    out, lse = forward(q, k, v, 1.0, None, None)
    for broken in (
        lambda: forward(q, k[:, :, :4], v[:, :, :4], 1.0, None, None),
        lambda: forward(q, k.bfloat16(), v, 1.0, None, None),
        lambda: forward(q.double(), k.double(), v.double(), 1.0, None, None),
        lambda: forward(q, k, v, 1.0, 0, None),
        lambda: forward(q, k, v, 1.0, None, torch.zeros(1, 4, dtype=torch.int32)),
        lambda: backward(d_out[:, :1], q, k, v, out, lse, 1.0, None, None),
        lambda: backward(d_out, q, k, v, out, lse.double(), 1.0, None, None),
        lambda: backward(d_out, q, k, v, out.bfloat16(), lse, 1.0, None, None),
    ):
        with pytest.raises(RuntimeError, match="causal_attention: "):
            broken()
