"""The probe's figures against a forward pass in numpy, planted illnesses, and that looking changes nothing."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from jarvis_nano.config import ModelConfig
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.observe.curvature import largest_eigenvalue, loss_gradient
from jarvis_nano.observe.heads import head_patterns
from jarvis_nano.observe.probe import probe
from jarvis_nano.observe.spectra import spectra

TINY = ModelConfig(vocab_size=61, context=32, n_layers=3, n_heads=4, d_model=32, d_ff=48)
CHOICES = {
    "norm": ("layernorm", "rmsnorm"),
    "positions": ("learned", "rotary"),
    "mlp": ("gelu", "swiglu", "relu2"),
    "qk_norm": (False, True),
    "n_kv_heads": (0, 2),
    "bias": (False, True),
    "tie_embeddings": (True, False),
}
EVERY_SWITCH = [dict(zip(CHOICES, values)) for values in itertools.product(*CHOICES.values())]
SOME_SWITCHES = [
    {},
    {"norm": "rmsnorm", "positions": "rotary", "mlp": "swiglu", "n_kv_heads": 2, "qk_norm": True},
    {"mlp": "relu2", "bias": True, "tie_embeddings": False, "qk_norm": True},
]


def make(**switches) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, **switches))
    with torch.no_grad():
        for parameter in model.parameters():  # away from ones and zeros, so that nothing drops out of the comparison
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def some_ids(rows=2, length=24) -> torch.Tensor:
    return torch.randint(0, 61, (rows, length), generator=torch.Generator().manual_seed(1))


def documents(rows=2) -> torch.Tensor:
    """A document of 5 tokens and one of 19; the second row the other way round."""
    return torch.tensor([[0] * 5 + [1] * 19, [3] * 19 + [2] * 5][:rows], dtype=torch.int32)


# --- the whole model once more, in numpy and float64 ---


def by_hand(model: Transformer, ids: np.ndarray, document: np.ndarray | None = None) -> list[dict[str, np.ndarray]]:
    """Every tensor that the probe looks at, one row and one head after the other."""
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    config = model.config
    found: list[dict[str, list]] = [{} for _ in range(config.n_layers)]
    for row, line in enumerate(ids):
        documents = np.zeros(len(line)) if document is None else document[row]
        positions = np.array([sum(documents[:t] == documents[t]) for t in range(len(line))])
        x = weights["token_embedding.weight"][line]
        if config.positions == "learned":
            x = x + weights["position_embedding.weight"][positions]
        for layer in range(config.n_layers):
            prefix = f"blocks.{layer}."
            here = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
            parts = attention_by_hand(config, here, normed(config, x, here, "attention_norm"), positions, documents)
            x = x + parts["attention_out"]
            up = dense(normed(config, x, here, "mlp_norm"), here, "mlp.up")
            parts |= {"up": up, "units": activated(config.mlp, up)}
            parts["mlp_out"] = dense(parts["units"], here, "mlp.down")
            x = parts["stream"] = x + parts["mlp_out"]
            parts["lens"] = normed(config, x, weights, "final_norm") @ weights["head.weight"].T
            for name, value in parts.items():
                found[layer].setdefault(name, []).append(value)
    return [{name: np.stack(rows) for name, rows in parts.items()} for parts in found]


def attention_by_hand(config, weights, x, positions, documents) -> dict[str, np.ndarray]:
    T, D, H, Hkv = len(x), config.d_head, config.n_heads, config.kv_heads
    qkv = dense(x, weights, "attention.qkv").reshape(T, H + 2 * Hkv, D)
    p, logits, out = np.zeros((H, T, T)), np.full((H, T, T), -np.inf), np.zeros((T, H, D))
    for head in range(H):
        shared = head // (H // Hkv)
        q, k, v = qkv[:, head], qkv[:, H + shared], qkv[:, H + Hkv + shared]
        if config.qk_norm:
            q, k = (
                z / np.sqrt((z**2).mean(-1, keepdims=True) + config.norm_eps) * weights["attention.qk_scale"]
                for z in (q, k)
            )
        if config.positions == "rotary":
            turn = np.exp(1j * positions[:, None] * config.rope_theta ** (-np.arange(0, D, 2) / D))
            q, k = (turned(z, turn) for z in (q, k))
        for t in range(T):
            keys = [s for s in range(t + 1) if documents[s] == documents[t]]
            logits[head, t, keys] = [q[t] @ k[s] / math.sqrt(D) for s in keys]
            p[head, t] = np.exp(logits[head, t] - logits[head, t].max())
            p[head, t] /= p[head, t].sum()
        out[:, head] = p[head] @ v
    return {"p": p, "logits": logits, "attention_out": dense(out.reshape(T, H * D), weights, "attention.out")}


def turned(z: np.ndarray, turn: np.ndarray) -> np.ndarray:
    half = z.shape[1] // 2
    pairs = (z[:, :half] + 1j * z[:, half:]) * turn
    return np.concatenate((pairs.real, pairs.imag), axis=1)


def dense(x, weights, name) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)


def normed(config, x, weights, name) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True) if config.norm == "layernorm" else x
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config.norm_eps)
    return scaled * weights[f"{name}.weight"] + weights.get(f"{name}.bias", 0.0)


def activated(kind, up) -> np.ndarray:
    if kind == "relu2":
        return np.maximum(up, 0) ** 2
    if kind == "gelu":
        return up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
    gate, value = np.split(up, 2, axis=-1)
    return gate / (1 + np.exp(-gate)) * value


# --- the figures ---


@pytest.mark.parametrize("switches", EVERY_SWITCH, ids=lambda switches: "-".join(map(str, switches.values())))
def test_the_probing_forward_is_the_models(switches):
    model = make(**switches)
    with torch.no_grad():
        for document in (None, documents()):
            found = probe(model, some_ids(), document).hidden
            torch.testing.assert_close(found, model.hidden(some_ids(), document=document), atol=2e-5, rtol=1e-4)


def test_a_model_in_training_is_looked_at_without_dropout():
    model = make(dropout=0.5)
    expected = probe(model, some_ids()).numbers
    assert probe(model.train(), some_ids()).numbers == expected
    assert model.training


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "documents"])
@pytest.mark.parametrize("switches", SOME_SWITCHES)
def test_every_figure_is_that_of_a_numpy_forward(switches, packed):
    model = make(**switches)
    ids, document = some_ids(), documents() if packed else None
    found = probe(model, ids, document)
    numpy_document = None if document is None else document.numpy()
    parts = by_hand(model, ids.numpy(), numpy_document)

    expected: dict[str, float] = {}
    for layer, here in enumerate(parts):
        stream = here["stream"]
        figures = {
            "residual_rms": np.sqrt((stream**2).mean()),
            "residual_max": np.abs(stream).max(),
            "kurtosis": (stream**4).mean() / (stream**2).mean() ** 2 - 3,
            "attention_out_rms": np.sqrt((here["attention_out"] ** 2).mean()),
            "mlp_out_rms": np.sqrt((here["mlp_out"] ** 2).mean()),
            "activation_rms": np.sqrt((here["units"] ** 2).mean()),
            "activation_max": np.abs(here["units"]).max(),
            "dead_neurons": dead_by_hand(model.config.mlp, here["up"], here["units"]),
        }
        expected |= {f"layers/{name}/{layer:02d}": value for name, value in figures.items()}
        for head in range(4):
            entropies = []
            for row, t in itertools.product(range(2), range(24)):
                p = here["p"][row, head, t]
                sees = t + 1 if document is None else int((document[row, : t + 1] == document[row, t]).sum())
                if sees >= 16:
                    entropies.append(-(p[p > 0] * np.log(p[p > 0])).sum())
            expected[f"heads/attention_entropy/{layer:02d}.{head:02d}"] = np.mean(entropies)
            expected[f"heads/max_logit/{layer:02d}.{head:02d}"] = here["logits"][:, head].max()
    for summary, figure, reduce in (
        ("attention_entropy_min", "heads/attention_entropy", min),
        ("max_logit", "heads/max_logit", max),
        ("dead_neurons", "layers/dead_neurons", max),
        ("kurtosis_max", "layers/kurtosis", max),
    ):
        expected[f"probe/{summary}"] = reduce(v for tag, v in expected.items() if tag.startswith(figure + "/"))
    expected |= lens_by_hand([here["lens"] for here in parts], ids.numpy(), numpy_document)

    assert found.numbers.keys() == expected.keys()
    for tag, value in expected.items():
        assert found.numbers[tag] == pytest.approx(value, rel=1e-4, abs=1e-5), tag
    maps = np.stack([here["p"][0] for here in parts])
    np.testing.assert_allclose(found.attention.numpy(), maps, atol=2e-5)


def dead_by_hand(kind, up, units) -> float:
    """relu2: those that are 0 throughout. Of the others none is anywhere near shut on random weights."""
    return float((units == 0).all(axis=(0, 1)).mean()) if kind == "relu2" else 0.0


def lens_by_hand(logits, ids, document) -> dict[str, float]:
    """All 48 positions count, for there are fewer than 128."""
    numbers, guesses = {}, np.stack([scores.argmax(-1) for scores in logits])  # (layers, B, T)
    for layer, scores in enumerate(logits):
        losses = []
        for row, t in itertools.product(range(2), range(23)):
            if document is None or document[row, t] == document[row, t + 1]:
                z = scores[row, t]
                losses.append(np.log(np.exp(z).sum()) - z[ids[row, t + 1]])
        numbers[f"layers/lens_loss/{layer:02d}"] = np.mean(losses)
        numbers[f"layers/lens_agrees/{layer:02d}"] = (guesses[layer] == guesses[-1]).mean()
    depths = []
    for row, t in itertools.product(range(2), range(24)):
        depth = len(logits)
        while depth > 1 and guesses[depth - 2, row, t] == guesses[-1, row, t]:
            depth -= 1
        depths.append(depth)
    numbers["probe/lens_depth"] = np.mean(depths)
    return numbers


def test_the_last_lens_loss_is_the_models_loss_where_targets_count():
    model, ids = make(), some_ids()
    targets = (ids * 7 + 3) % 61
    targets[:, ::3] = -100
    with torch.no_grad():
        loss = model.loss(ids, targets).loss.sum() / (targets != -100).sum()
    numbers = probe(model, ids, targets=targets).numbers
    assert numbers["layers/lens_loss/02"] == pytest.approx(loss.item(), rel=1e-5)


def test_the_lens_takes_positions_spread_over_all_rows():
    model, ids = make(), some_ids()
    places = [i * 48 // 7 for i in range(7)]
    targets = torch.full((48,), -100)
    targets[places] = 5  # only where the lens looks: were it elsewhere, the mean would be over fewer
    with torch.no_grad():
        loss = model.loss(ids, targets.view(2, 24)).loss.sum() / 7
    numbers = probe(model, ids, targets=torch.full_like(ids, 5), lens_positions=7).numbers
    assert numbers["layers/lens_loss/02"] == pytest.approx(loss.item(), rel=1e-5)


def test_where_later_blocks_add_nothing_the_prediction_is_there_after_the_first():
    model = make()
    with torch.no_grad():
        for block in model.blocks[1:]:
            block.attention.out.weight.zero_()
            block.mlp.down.weight.zero_()
    numbers = probe(model, some_ids()).numbers
    assert numbers["probe/lens_depth"] == 1.0
    assert [numbers[f"layers/lens_agrees/{layer:02d}"] for layer in range(3)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("mlp", ["gelu", "swiglu", "relu2"])
def test_units_that_never_open_are_dead_and_small_ones_are_not(mlp):
    model = make(mlp=mlp, bias=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()  # with 512 tokens: so that every unit opens on some
        model.blocks[1].mlp.up.bias[:12] = -100.0  # of SwiGLU: the gate's
        model.blocks[2].mlp.up.weight.mul_(1e-3)
    numbers = probe(model, some_ids(16, 32)).numbers
    assert [numbers[f"layers/dead_neurons/{layer:02d}"] for layer in range(3)] == [0.0, 0.25, 0.0]
    assert numbers["probe/dead_neurons"] == 0.25


def test_a_whole_dead_layer_of_relus_is_found():
    model = make(mlp="relu2", bias=True)
    with torch.no_grad():
        model.blocks[0].mlp.up.bias.fill_(-50.0)
    numbers = probe(model, some_ids()).numbers
    assert numbers["probe/dead_neurons"] == numbers["layers/dead_neurons/00"] == 1.0
    assert numbers["layers/activation_max/00"] == 0.0


def test_uniform_attention_has_the_entropy_of_its_keys_and_a_pointed_one_none():
    model = make()
    with torch.no_grad():
        model.blocks[0].attention.qkv.weight[:64].zero_()  # q and k: every logit is 0
        model.blocks[1].attention.qkv.weight[:64].mul_(1e3)
    found = probe(model, some_ids())
    uniform = np.mean([math.log(t + 1) for t in range(15, 24)])
    assert found.heads["attention_entropy"][0].tolist() == pytest.approx([uniform] * 4, rel=1e-5)
    assert found.heads["attention_entropy"][1].max() < 0.1
    assert found.numbers["heads/max_logit/01.00"] > 1e3


def test_rows_too_short_to_leave_any_query_out_count_whole():
    model, ids = make(), some_ids(1, 6)
    entropy = probe(model, ids).heads["attention_entropy"][0, 0].item()
    p = by_hand(model, ids.numpy())[0]["p"][0, 0]
    assert entropy == pytest.approx(np.mean([-(q[q > 0] * np.log(q[q > 0])).sum() for q in p]), rel=1e-4)


def test_maps_stop_at_map_tokens_and_attention_at_its_rows():
    model, ids = make(), some_ids(3, 24)
    whole, short = probe(model, ids, attention_rows=3), probe(model, ids, attention_rows=1, map_tokens=10)
    torch.testing.assert_close(short.attention, whole.attention[..., :10, :10])
    alone = probe(model, ids[:1])
    torch.testing.assert_close(short.heads["attention_entropy"], alone.heads["attention_entropy"])
    assert not torch.allclose(short.heads["attention_entropy"], whole.heads["attention_entropy"])


def test_weights_that_are_not_numbers_give_figures_that_are_not():
    model = make()
    with torch.no_grad():
        model.blocks[1].mlp.down.weight[0, 0] = math.nan
    numbers = probe(model, some_ids()).numbers
    assert math.isfinite(numbers["layers/residual_rms/00"])
    assert math.isnan(numbers["layers/residual_rms/01"])
    assert math.isnan(numbers["probe/kurtosis_max"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="1 to 32 tokens"):
        probe(make(), some_ids(1, 33))
    with pytest.raises(UserError, match="at least 1"):
        probe(make(), some_ids(), attention_rows=0)


LOOKS = {
    "probe": lambda model: probe(model, some_ids(), documents()),
    "heads": lambda model: head_patterns(model, length=16),
    "spectra": spectra,
    "curvature": lambda model: largest_eigenvalue(
        loss_gradient(model, some_ids(), some_ids() % 50), list(model.parameters()), iterations=2
    ),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_looking_changes_nothing(look):
    model = make(dropout=0.3)
    model.train()
    model.blocks[1].eval()  # whatever the flags are
    model.loss(some_ids(), some_ids()).loss.sum().backward()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = {name: (parameter.grad, parameter.grad.clone()) for name, parameter in model.named_parameters()}
    flags = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    look(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    for name, parameter in model.named_parameters():
        assert parameter.grad is gradients[name][0]
        assert torch.equal(parameter.grad, gradients[name][1])
        assert parameter.requires_grad
    assert torch.is_grad_enabled()
