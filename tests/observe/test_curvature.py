"""The largest curvature against Hessians that are known, and against autograd's of a whole small Transformer."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jarvis_nano.config import ModelConfig
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.observe.curvature import largest_eigenvalue, loss_gradient


def quadratic(eigenvalues: list[float], dtype=torch.float64) -> tuple[Tensor, Tensor]:
    """A point, and a symmetric matrix with these eigenvalues and random axes."""
    generator = torch.Generator().manual_seed(3)
    n = len(eigenvalues)
    axes = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    matrix = axes @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ axes.T
    return torch.randn(n, generator=generator, dtype=torch.float64).to(dtype), matrix.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "eigenvalues",
    [[4.0, 1.0, 0.5, -2.0], [2.0, -9.0, 0.1, 0.0], [-1.0, -8.0, -5.0], [5.0, -5.01, 1.0]],
    ids=["up", "saddle", "down", "alike"],
)
def test_the_largest_eigenvalue_of_a_quadratic_is_found_whatever_its_sign(eigenvalues, dtype):
    x, matrix = quadratic(eigenvalues, dtype)
    found = largest_eigenvalue(lambda: [matrix @ x], [x], iterations=60)
    size = max(map(abs, eigenvalues))
    assert found == pytest.approx(max(eigenvalues), abs=size * (1e-3 if dtype == torch.float32 else 1e-7))


def test_several_parameters_are_one_vector():
    x, matrix = quadratic([7.0, 3.0, 2.0, 1.0, -1.0])
    head, tail = x[:2].clone().reshape(1, 2), x[2:].clone()

    def gradient_of():
        whole = matrix @ torch.cat((head.flatten(), tail))
        return whole[:2].reshape(1, 2), whole[2:]

    assert largest_eigenvalue(gradient_of, [head, tail], iterations=60) == pytest.approx(7.0, rel=1e-7)


def test_a_plane_has_none_and_the_origin_is_a_point_too():
    x = torch.zeros(3)
    assert largest_eigenvalue(lambda: [torch.ones(3)], [x]) == 0.0
    assert largest_eigenvalue(lambda: [2 * x], [x]) == pytest.approx(2.0, rel=1e-3)


def test_iterations_beyond_the_number_of_dimensions_add_nothing():
    x = torch.tensor([1.5], dtype=torch.float64)
    assert largest_eigenvalue(lambda: [-3.0 * x], [x], iterations=5) == pytest.approx(-3.0, rel=1e-7)


def test_a_gradient_that_is_not_finite_gives_nan():
    x = torch.ones(3)
    assert math.isnan(largest_eigenvalue(lambda: [x * math.nan], [x]))


TINY = ModelConfig(vocab_size=11, context=6, n_layers=1, n_heads=2, d_model=8, d_ff=8)
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])
TARGETS = torch.tensor([[1, 4, 1, 5, 9, -100], [6, 5, 3, 5, 8, -100]])


def plain_loss(weights: dict[str, Tensor]) -> Tensor:
    """TINY's mean loss in torch functions that can be differentiated twice."""
    B, T, C, H = 2, 6, 8, 2
    x = weights["token_embedding.weight"][IDS] + weights["position_embedding.weight"]
    h = F.layer_norm(x, (C,), weights["blocks.0.attention_norm.weight"])
    q, k, v = ((h @ weights["blocks.0.attention.qkv.weight"].T).view(B, T, 3, H, C // H)).permute(2, 0, 3, 1, 4)
    scores = (q @ k.transpose(2, 3) / math.sqrt(C // H)).masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
    x = x + (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C) @ weights["blocks.0.attention.out.weight"].T
    h = F.layer_norm(x, (C,), weights["blocks.0.mlp_norm.weight"])
    x = x + F.gelu(h @ weights["blocks.0.mlp.up.weight"].T) @ weights["blocks.0.mlp.down.weight"].T
    logits = F.layer_norm(x, (C,), weights["final_norm.weight"]) @ weights["token_embedding.weight"].T
    return F.cross_entropy(logits.flatten(0, 1), TARGETS.flatten())


def test_a_transformers_sharpness_is_that_of_its_whole_hessian():
    torch.manual_seed(0)
    model = Transformer(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    names = [name for name, _ in model.named_parameters()]
    shapes = [parameter.shape for parameter in model.parameters()]
    flat = torch.cat([parameter.detach().double().flatten() for parameter in model.parameters()])

    def loss(vector: Tensor) -> Tensor:
        pieces = vector.split([shape.numel() for shape in shapes])
        return plain_loss({name: piece.view(shape) for name, piece, shape in zip(names, pieces, shapes)})

    hessian = torch.autograd.functional.hessian(loss, flat, vectorize=True)
    expected = torch.linalg.eigvalsh(hessian)[-1].item()
    gradient_of = loss_gradient(model, IDS, TARGETS)
    assert loss(flat).item() == pytest.approx(model.loss(IDS, TARGETS).loss.sum().item() / 10, rel=1e-5)
    found = largest_eigenvalue(gradient_of, list(model.parameters()), iterations=100)
    assert found == pytest.approx(expected, rel=5e-3)


def test_everything_is_put_back_after_an_exception_too():
    x, matrix = quadratic([3.0, 2.0, 1.0], torch.float32)
    x.requires_grad_()
    x.grad = gradient = torch.ones(3)
    before, state, calls = x.detach().clone(), torch.get_rng_state(), []

    def gradient_of():
        calls.append(x.detach().clone())
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return [matrix @ x]

    with pytest.raises(RuntimeError, match="out of memory"):
        largest_eigenvalue(gradient_of, [x])
    assert not torch.equal(calls[2], before)
    assert torch.equal(x, before)
    assert x.grad is gradient
    assert torch.equal(gradient, torch.ones(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_gradient_taken_with_backward_does_not_add_up():
    x, matrix = quadratic([5.0, 2.0, 1.0])
    x.requires_grad_()
    x.grad = kept = torch.full_like(x, 7.0)

    def gradient_of():
        (0.5 * x @ matrix @ x).backward()
        return [x.grad]

    assert largest_eigenvalue(gradient_of, [x], iterations=40) == pytest.approx(5.0, rel=1e-6)
    assert x.grad is kept
    assert torch.equal(kept, torch.full_like(x, 7.0))


def test_short_floats_are_refused():
    with pytest.raises(UserError, match="a small step is lost"):
        largest_eigenvalue(lambda: [torch.ones(2)], [torch.ones(2, dtype=torch.bfloat16)])
