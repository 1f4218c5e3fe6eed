"""What a step computes in: bfloat16 products on a float32 stream, one graph, and GPT-2's sizes. Without a GPU."""

import dataclasses

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from jarvis_nano import kernels
from jarvis_nano.config import PRESETS, ModelConfig
from jarvis_nano.model import Transformer
from jarvis_nano.training.objective import Objective

TINY = ModelConfig(vocab_size=97, context=32, n_layers=2, n_heads=4, d_model=32)
SWITCHES = {
    "gpt2": {"bias": True},
    "llama": {"norm": "rmsnorm", "positions": "rotary", "mlp": "swiglu", "n_kv_heads": 2, "tie_embeddings": False},
    "nano": {"norm": "rmsnorm", "mlp": "relu2", "qk_norm": True, "positions": "rotary"},
}
ACTIVATIONS = ("gelu", "swiglu", "relu_squared")
NARROW, WIDE = torch.bfloat16, torch.float32


def make(**switches) -> Transformer:
    torch.manual_seed(0)
    return Transformer(dataclasses.replace(TINY, **switches))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randint(0, 97, (3, 21), generator=generator)
    document = torch.tensor([[0] * 9 + [1] * 12] * 3, dtype=torch.int32)
    return {"ids": drawn[:, :-1], "targets": drawn[:, 1:], "document": document[:, :-1]}


def on_fake_cuda(config: ModelConfig) -> Transformer:
    """A model whose tensors are said to lie on a GPU; inside a FakeTensorMode, and for forward only."""
    with torch.device("meta"):
        model = Transformer(config)
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
                    tensors[name] = torch.nn.Parameter(fake, False) if tensors is module._parameters else fake
    return model


@pytest.fixture
def calls(monkeypatch):
    """Every call of an op from now on: (name, dtypes of its tensors, dtypes of its results)."""
    found = []

    def watched(name):
        original = getattr(kernels, name)

        def call(*args, **kwargs):
            out = original(*args, **kwargs)
            tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor) and t.is_floating_point()]
            results = out if isinstance(out, tuple) else (out,)
            found.append((name, tuple(t.dtype for t in tensors), tuple(t.dtype for t in results)))
            return out

        monkeypatch.setattr(kernels, name, call)

    attention = ("causal_attention", "causal_attention_packed")
    for name in ("rms_norm", "layer_norm", *attention, "linear_cross_entropy", "apply_rotary", *ACTIVATIONS):
        watched(name)
    return found


def require_step_precision(calls, model: Transformer) -> None:
    """The stream and its norms in float32, heads and products in bfloat16, figures in float32."""
    by_name = {name: [call[1:] for call in calls if call[0] == name] for name, *_ in calls}
    if model.config.positions == "rotary" or model.config.qk_norm:
        assert by_name["causal_attention"] == [((NARROW,) * 3, (NARROW,))] * 2
    else:
        assert by_name["causal_attention_packed"] == [((NARROW,), (NARROW,))] * 2
    assert [out for _, out in by_name["linear_cross_entropy"]] == [(WIDE,) * 4]
    kind, n_parameters = ("layer_norm", 2) if model.config.norm == "layernorm" else ("rms_norm", 1)
    parameters = (WIDE,) * (n_parameters if model.config.bias or kind == "rms_norm" else 1)
    first = ((WIDE, *parameters), (WIDE,))
    joining = ((NARROW, *parameters, WIDE), (WIDE, WIDE))
    on_heads = [((NARROW, WIDE), (NARROW,))] if model.config.qk_norm else []
    if model.config.positions == "rotary":
        assert by_name["apply_rotary"] == [((NARROW, WIDE, WIDE), (NARROW,))] * 2
    (activation,) = by_name.keys() & set(ACTIVATIONS)
    assert [(tensors[0], out) for tensors, out in by_name[activation]] == [(NARROW, (NARROW,))] * 2
    assert by_name[kind] == [first, *on_heads, joining, joining, *on_heads, joining, joining]


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_under_autocast_every_op_gets_its_dtype_and_gradients_are_float32(calls, switches):
    model = make(**switches)
    with torch.autocast("cpu", NARROW):
        result = model(**batch(), z_loss=1e-4)
    require_step_precision(calls, model)
    result.loss.sum().backward()
    exact = make(**switches)
    exact(**batch(), z_loss=1e-4).loss.sum().backward()
    for (name, narrow), wide in zip(model.named_parameters(), exact.parameters(), strict=True):
        assert narrow.grad.dtype == WIDE
        error = (narrow.grad - wide.grad).norm() / wide.grad.norm()
        assert error < 0.05, f"{name}: {error:.3f}"


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_the_same_dtypes_on_a_gpu(calls, switches):
    """With fake tensors, whose ops compute nothing. (Their gradients, and slices, need a torch with CUDA.)"""
    pytest.importorskip("triton")
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    try:
        torch.set_autocast_enabled("cuda", True)  # torch.autocast("cuda") refuses where there is no GPU
        torch.set_autocast_dtype("cuda", NARROW)
        with FakeTensorMode(), torch.no_grad(), kernels.use_backend("triton"):
            model = on_fake_cuda(dataclasses.replace(TINY, **switches))
            ids = torch.empty((3, 20), dtype=torch.int64, device="cuda")
            result = model(ids, targets=ids)
    finally:
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])
    require_step_precision(calls, model)
    assert {figure.device.type for figure in result} == {"cuda"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_the_model_is_one_graph_that_computes_what_eager_does(switches, precision):
    torch._dynamo.reset()

    def run(compiler) -> dict[str, torch.Tensor]:
        model = make(**switches)
        with torch.autocast("cpu", NARROW, enabled=precision == "bfloat16"):
            result = compiler(model)(**batch(), z_loss=1e-4)
        (result.loss.sum() / 60).backward()
        return {**result._asdict(), **{name: p.grad for name, p in model.named_parameters()}}

    eager = run(lambda model: model)
    compiled = run(lambda model: torch.compile(model, fullgraph=True, dynamic=False, backend="aot_eager"))
    rounding = 1e-5 if precision == "float32" else 2e-2
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=rounding, atol=rounding, msg=name)


def test_small_has_gpt2s_weights_and_operations():
    config = PRESETS["small"].model
    with torch.device("meta"):
        model = Transformer(config)
    padding = (50304 - 50257) * 768  # the vocabulary rounded up to a multiple of 128
    assert model.n_parameters == 124_439_808 + padding
    # The usual count, 6 per parameter and 6 · layers · T · width for causal attention, takes the position embedding,
    # the biases and the norms for products, which they are not.
    usual = 6 * model.n_parameters + 6 * config.n_layers * config.context * config.d_model
    assert usual == pytest.approx(803e6, rel=1e-3)
    vectors = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() == 1)
    assert config.flops_per_token == usual - 6 * (vectors + model.position_embedding.weight.numel())
    assert config.flops_per_token == pytest.approx(798e6, rel=1e-3)


def test_smalls_micro_batch_divides_its_batch_and_fits_80_gb():
    model, train = PRESETS["small"].model, PRESETS["small"].train
    assert train.batch_size % train.micro_batch_size == 0
    # Kept for the backward, in bytes a token and layer: two sums and two norms' outputs (float32; the latter again in
    # bfloat16), q, k, v, heads out (bfloat16), the MLP's width before and after the activation (bfloat16).
    C, wide, narrow = model.d_model, 4, 2
    kept = 2 * C * (wide + wide + narrow) + 4 * C * narrow + 2 * model.hidden_width * narrow
    tokens = train.micro_batch_size * model.context
    assert tokens >= 32 * 1024, "fewer tokens leave a large GPU waiting"
    assert tokens * kept * model.n_layers < 40e9


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
def test_the_fused_head_computes_the_logits_once_a_step(monkeypatch, compile):
    """In Triton it sees from the stride of the loss's gradient that all tokens have one; else it would start again."""
    pytest.importorskip("triton")
    from jarvis_nano.kernels.cross_entropy import triton_kernel

    monkeypatch.setattr(triton_kernel, "d_weight_in_chunks", lambda *_: pytest.fail("the logits were computed again"))
    head = kernels.linear_cross_entropy
    monkeypatch.setattr(kernels, "linear_cross_entropy", lambda *a, **k: head(*a, **k, backend="triton"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch._dynamo.reset()
    objective = Objective(make().to(device), 0.0)
    run = torch.compile(objective, fullgraph=True, backend="aot_eager") if compile else objective
    drawn = batch()
    loss, sums = run(drawn["ids"].to(device), drawn["targets"].to(device))
    (loss / 60).backward()
    assert sums.shape == (4,)
    assert objective.model.head.weight.grad.any()
