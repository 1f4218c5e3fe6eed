"""The Transformer: against independent implementations, and the properties that every switch must keep."""

import dataclasses
import math

import pytest
import torch

from jarvis_nano.config import PRESETS, ModelConfig
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer, positions_in_document

TINY = ModelConfig(vocab_size=97, context=32, n_layers=2, n_heads=4, d_model=32)
SWITCHES = [
    {},
    {"norm": "rmsnorm", "positions": "rotary", "mlp": "swiglu", "n_kv_heads": 2},
    {"mlp": "relu2", "qk_norm": True, "positions": "rotary"},
    {"bias": True, "tie_embeddings": False},
]


def make(**switches) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, **switches))
    with torch.no_grad():
        for parameter in model.parameters():  # away from ones and zeros, so that nothing drops out of the comparison
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def ids(rows=2, length=20) -> torch.Tensor:
    return torch.randint(0, 97, (rows, length), generator=torch.Generator().manual_seed(1))


def test_logits_are_those_of_transformers_gpt2():
    transformers = pytest.importorskip("transformers")
    ours = make(bias=True, mlp="gelu")
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=97, n_positions=32, n_embd=32, n_layer=2, n_head=4, activation_function="gelu",
            attn_pdrop=0, embd_pdrop=0, resid_pdrop=0,
        )
    ).eval()  # fmt: skip
    state = ours.state_dict()
    renamed = {f"transformer.w{a}e.weight": f"{b}_embedding.weight" for a, b in (("t", "token"), ("p", "position"))}
    renamed |= {f"transformer.ln_f.{p}": f"final_norm.{p}" for p in ("weight", "bias")}
    for layer in range(2):
        parts = {"ln_1": "attention_norm", "ln_2": "mlp_norm", "attn.c_attn": "attention.qkv",
                 "attn.c_proj": "attention.out", "mlp.c_fc": "mlp.up", "mlp.c_proj": "mlp.down"}  # fmt: skip
        for theirs_name, ours_name in parts.items():
            for p in ("weight", "bias"):
                renamed[f"transformer.h.{layer}.{theirs_name}.{p}"] = f"blocks.{layer}.{ours_name}.{p}"
    values = {a: state[b].T if "c_" in a and a.endswith("weight") else state[b] for a, b in renamed.items()}
    theirs.load_state_dict({**values, "lm_head.weight": state["token_embedding.weight"]})
    with torch.no_grad():
        torch.testing.assert_close(ours(ids()), theirs(ids()).logits, atol=2e-5, rtol=1e-4)


def test_logits_are_those_of_transformers_llama():
    transformers = pytest.importorskip("transformers")
    ours = make(norm="rmsnorm", positions="rotary", mlp="swiglu", n_kv_heads=2, tie_embeddings=False)
    width = ours.config.hidden_width
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=97, hidden_size=32, intermediate_size=width, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=32, rms_norm_eps=1e-5, tie_word_embeddings=False,
        )
    ).eval()  # fmt: skip
    state = ours.state_dict()
    values = {
        "model.embed_tokens.weight": state["token_embedding.weight"],
        "model.norm.weight": state["final_norm.weight"],
        "lm_head.weight": state["head.weight"],
    }
    for layer in range(2):
        here, there = f"blocks.{layer}", f"model.layers.{layer}"
        q, k, v = state[f"{here}.attention.qkv.weight"].split((32, 16, 16))
        gate, up = state[f"{here}.mlp.up.weight"].chunk(2)
        values |= {
            f"{there}.self_attn.{name}_proj.weight": w
            for name, w in {"q": q, "k": k, "v": v, "o": state[f"{here}.attention.out.weight"]}.items()
        }
        values |= {f"{there}.mlp.gate_proj.weight": gate, f"{there}.mlp.up_proj.weight": up}
        values[f"{there}.mlp.down_proj.weight"] = state[f"{here}.mlp.down.weight"]
        values[f"{there}.input_layernorm.weight"] = state[f"{here}.attention_norm.weight"]
        values[f"{there}.post_attention_layernorm.weight"] = state[f"{here}.mlp_norm.weight"]
    theirs.load_state_dict(values)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids()), theirs(ids()).logits, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("switches", SWITCHES)
def test_the_future_does_not_change_the_past(switches):
    model = make(**switches)
    before, changed = ids(), ids()
    changed[:, 12:] = (changed[:, 12:] + 1) % 97
    with torch.no_grad():
        a, b = model(before), model(changed)
    torch.testing.assert_close(a[:, :12], b[:, :12])
    assert not torch.allclose(a[:, 12:], b[:, 12:])


@pytest.mark.parametrize("switches", SWITCHES)
def test_packed_documents_are_as_if_alone(switches):
    model = make(**switches)
    first, second = ids(1, 9), ids(1, 14) + 1
    second %= 97
    document = torch.tensor([[0] * 9 + [1] * 14], dtype=torch.int32)
    with torch.no_grad():
        packed = model(torch.cat((first, second), dim=1), document=document)
        torch.testing.assert_close(packed[:, :9], model(first), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(packed[:, 9:], model(second), atol=1e-5, rtol=1e-4)


def test_positions_start_again_with_each_document():
    document = torch.tensor([[4, 4, 4, 2, 2, 7], [1, 1, 1, 1, 1, 1]])
    assert positions_in_document(document).tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("switches", SWITCHES)
def test_loss_is_the_cross_entropy_of_the_logits_and_its_gradient(switches):
    model = make(**switches)
    targets = (ids() + 3) % 97
    targets[0, :5] = -100
    loss = model.loss(ids(), targets).loss
    loss.sum().backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    expected = torch.nn.functional.cross_entropy(model(ids()).flatten(0, 1), targets.flatten(), reduction="none")
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)
    expected.sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=2e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("switches", SWITCHES)
def test_an_untrained_model_is_as_unsure_as_chance(switches):
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, vocab_size=512, **switches))
    wide = torch.randint(0, 512, (4, 32))
    assert model.loss(wide, wide.roll(-1, 1)).loss.mean().item() == pytest.approx(math.log(512), abs=0.35)


def test_small_is_gpt2_124m():
    with torch.device("meta"):
        model = Transformer(PRESETS["small"].model)
    gpt2 = 124_439_808 + (50304 - 50257) * 768  # the vocabulary is padded to a multiple of 128
    assert model.n_parameters == gpt2


def test_dropout_acts_in_training_only():
    model = make(dropout=0.5)
    with torch.no_grad():
        torch.testing.assert_close(model(ids()), model(ids()))
        model.train()
        assert not torch.allclose(model(ids()), model(ids()))


def test_a_text_longer_than_the_context_is_refused():
    with pytest.raises(UserError, match="33 tokens do not fit the model's context of 32"):
        make()(ids(1, 33))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_model": 30}, "not a multiple of n_heads"),
        ({"n_kv_heads": 3}, "not a multiple of n_kv_heads"),
        ({"n_layers": 0}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"d_model": 4, "positions": "rotary"}, "even head width"),
    ],
)
def test_impossible_shapes_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TINY, **fields)
