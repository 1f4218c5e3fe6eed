"""Optimizers and schedule, against what the papers say, computed another way."""

import dataclasses
import math

import pytest
import torch

from jarvis_nano import kernels
from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.errors import UserError
from jarvis_nano.kernels import backends
from jarvis_nano.model import Transformer
from jarvis_nano.training import checkpoint, optimizer, schedule

CONFIG = ModelConfig(vocab_size=50, context=8, n_layers=2, n_heads=4, n_kv_heads=2, d_model=16, bias=True, qk_norm=True)


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_orthogonalised_matrices_keep_directions_and_lose_sizes(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    found = optimizer.orthogonalise(matrix)
    sizes = torch.linalg.svdvals(found)
    assert sizes.min() > 0.6
    assert sizes.max() < 1.3
    projected = u.T @ found @ vt.T  # diagonal where the singular vectors are kept
    assert (projected - torch.diag(projected.diagonal())).abs().max() < 1e-3


def test_muon_is_its_definition():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(12, 4))
    start, gradients = weight.detach().clone(), [torch.randn(12, 4) for _ in range(2)]
    muon = optimizer.Muon([weight], lr=0.1, weight_decay=0.5, row_splits={weight: (8, 4)})
    expected, momentum = start, torch.zeros(12, 4)
    for gradient in gradients:
        weight.grad = gradient.clone()
        muon.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        nesterov = 0.05 * gradient + 0.95 * momentum
        tall, square = optimizer.orthogonalise(nesterov[:8]), optimizer.orthogonalise(nesterov[8:])
        update = torch.cat([tall * math.sqrt(2), square])
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * update
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_each_parameter_is_in_one_group_and_only_matrices_decay(name):
    model = Transformer(CONFIG)
    groups = [g for o in optimizer.build(model, TrainConfig(optimizer=name)) for g in o.param_groups]
    found = [p for group in groups for p in group["params"]]
    assert sorted(map(id, found)) == sorted(map(id, model.parameters()))
    for group in groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] == 0) == (parameter.dim() == 1)


needs_kernel = pytest.mark.skipif(backends.missing_ops() is not None, reason="the compiled kernels are not built")


def trained(kind: str, model: Transformer, name: str = "adamw") -> list[torch.optim.Optimizer]:
    """What build makes where AdamW has a kernel ("cpp") and where it has none ("reference")."""
    with kernels.use_backend(kind):
        built = optimizer.build(model, TrainConfig(optimizer=name, weight_decay=0.1))
    assert isinstance(built[-1], torch.optim.AdamW if kind == "reference" else optimizer.AdamW)
    return built


def step(built: list[torch.optim.Optimizer], model: Transformer, seed: int, max_norm: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    for one in built:
        for group in one.param_groups:
            group["lr"] = group["peak_lr"] * seed
    return optimizer.clip_and_step(built, max_norm)


def pair(name: str = "adamw") -> tuple[Transformer, Transformer]:
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    other = Transformer(CONFIG)
    other.load_state_dict(model.state_dict())
    return model, other


def require_close(model: Transformer, other: Transformer) -> None:
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


@needs_kernel
@pytest.mark.parametrize("max_norm", [1.0, math.inf])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_ours_steps_as_torchs_with_one_clipping_factor_for_all(name, max_norm):
    model, other = pair()
    ours, theirs = trained("cpp", model, name), trained("reference", other, name)
    for seed in (1, 2, 3):
        found, expected = step(ours, model, seed, max_norm), step(theirs, other, seed, max_norm)
        torch.testing.assert_close(found, expected)
    require_close(model, other)


@needs_kernel
@pytest.mark.parametrize(("first", "second"), [("reference", "cpp"), ("cpp", "reference"), ("cpp", "cpp")])
def test_either_goes_on_from_the_others_checkpoint(tmp_path, first, second):
    model, other = pair()
    before, plain = trained(first, model), trained("reference", other)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for seed in (1, 2):
        step(before, model, seed)
        step(plain, other, seed)
    saved = checkpoint.optimizer_state(before, names)
    checkpoint.save(tmp_path, model, saved, step=2, state={"eval_loss": None}, keep=1)
    model = Transformer(CONFIG)
    _, state = checkpoint.restore(tmp_path, model)
    assert {tuple(sorted(values)) for values in state.values()} == {("exp_avg", "exp_avg_sq", "step")}
    assert {float(values["step"]) for values in state.values()} == {2.0}
    names = {parameter: name for name, parameter in model.named_parameters()}
    after = trained(second, model)
    checkpoint.restore_optimizers(after, names, state)
    for seed in (3, 4):
        step(after, model, seed)
        step(plain, other, seed)
    require_close(model, other)


@needs_kernel
def test_the_norms_of_the_last_step_are_kept():
    model, _ = pair()
    (adamw,) = trained("cpp", model)
    assert adamw.norms is None
    norm, _ = step([adamw], model, 1)
    in_order = [p for group in adamw.param_groups for p in group["params"]]
    torch.testing.assert_close(adamw.norms.weight, torch.stack([p.detach().norm() for p in in_order]))
    torch.testing.assert_close(adamw.norms.gradient, torch.stack([p.grad.norm() for p in in_order]))
    assert norm is adamw.norms.total_gradient


@needs_kernel
def test_parameters_without_a_gradient_keep_still_and_counts_that_differ_are_refused():
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    adamw = optimizer.AdamW([{"params": weights}], lr=0.1, betas=(0.9, 0.95), eps=1e-8)
    weights[0].grad = torch.ones(3)
    adamw.step()
    assert torch.equal(weights[1], torch.ones(3))
    assert not torch.equal(weights[0], torch.ones(3))
    weights[1].grad = torch.ones(3)
    adamw.step()
    assert [float(adamw.state[w]["step"]) for w in weights] == [2.0, 2.0]
    adamw.state[weights[1]]["step"] = torch.tensor(5.0)
    with pytest.raises(UserError, match="unlike numbers of steps"):
        adamw.step()


def test_cosine_schedule_at_its_landmarks():
    config = TrainConfig(steps=1000, schedule="cosine", warmup=0.1, final_lr=0.1)
    assert schedule.rate(0, config) == pytest.approx(0.01)
    assert schedule.rate(99, config) == pytest.approx(1.0)
    assert schedule.rate(550, config) == pytest.approx(0.55)
    assert schedule.rate(999, config) == pytest.approx(0.1, abs=1e-4)


def test_wsd_schedule_is_flat_then_linear():
    config = TrainConfig(steps=1000, schedule="wsd", warmup=0.1, decay=0.2, final_lr=0.0)
    assert {schedule.rate(step, config) for step in range(100, 801)} == {1.0}
    assert schedule.rate(900, config) == pytest.approx(0.5)
    assert schedule.rate(999, config) == pytest.approx(0.005)


def test_rates_never_leave_zero_to_one():
    for kind in ("cosine", "wsd"):
        for steps in (1, 2, 7):
            config = dataclasses.replace(TrainConfig(), steps=steps, schedule=kind)
            assert all(0 < schedule.rate(step, config) <= 1 for step in range(steps))
