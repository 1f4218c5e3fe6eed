"""How sharp the loss is: the largest eigenvalue of its Hessian, from gradients alone.

Power iteration on Hessian-vector products, each the difference of two gradients. So every kernel will do, none of which
has a second derivative. It costs two gradients an iteration: for now and then, and by request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer

# Length of the step from θ to either side, as a share of ‖θ‖; see `largest_eigenvalue`.
STEP = {torch.float32: 1e-4, torch.float64: 1e-5}

Vector = list[Tensor]


def largest_eigenvalue(
    gradient_of: Callable[[], Sequence[Tensor]],
    parameters: Sequence[Tensor],
    *,
    iterations: int = 20,
    seed: int = 0,
    relative_step: float | None = None,
) -> float:
    """The algebraically largest eigenvalue λ of the Hessian over `parameters`, float32 or float64.

    gradient_of() returns the loss' gradient at the parameters' present values, one tensor a parameter. It must be a
    function of them alone: the same rows each time, no dropout (`loss_gradient` makes one).

    H v ≈ (g(θ + εv) - g(θ - εv)) / 2ε with ‖v‖ = 1. The error is ε²/6 of the third derivative along v, and the
    gradients' rounding over ε. With ε = relative_step · ‖θ‖ and 1e-4 (float64: 1e-5) both stay below 1e-3 of λ on the
    models here (docs/probes.md has the table); the cube root of the rounding, 5e-3, which is best for a function that
    curves as slowly in every direction, is too long a step along a sharp one.

    Power iteration finds the eigenvalue of largest size. Where that is negative (early in training), as many
    iterations again on H - λI, which has none above 0 but the wanted one's distance, find the largest. The estimate
    comes from below; its error falls as (second / first)^(2 · iterations).

    The parameters and their .grad are the very same afterwards, also after an exception; no global random state is
    touched. UserError on parameters of other dtypes. NaN where a gradient is not finite.
    """
    dtypes = {parameter.dtype for parameter in parameters}
    if len(dtypes) != 1 or not dtypes <= set(STEP) or iterations < 1:
        raise UserError(
            f"{iterations} iterations over parameters in {sorted(map(str, dtypes))}; expected at least 1, and one of "
            "torch.float32 and torch.float64: in shorter floats a small step is lost"
        )
    generator = torch.Generator().manual_seed(seed)
    start = [torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device) for p in parameters]
    with _put_back(parameters) as kept, torch.no_grad():
        length = _norm(kept)
        step = (STEP[dtypes.pop()] if relative_step is None else relative_step) * torch.where(length > 0, length, 1.0)

        def hessian_times(v: Vector) -> Vector:
            ahead = _gradient_at(gradient_of, parameters, torch._foreach_add(kept, torch._foreach_mul(v, step)))
            behind = _gradient_at(gradient_of, parameters, torch._foreach_sub(kept, torch._foreach_mul(v, step)))
            return list(torch._foreach_div(torch._foreach_sub(ahead, behind), 2 * step))

        found = _power(hessian_times, start, iterations)
        if not found < 0:  # also NaN
            return found

        def shifted(v: Vector) -> Vector:
            return list(torch._foreach_add(hessian_times(v), torch._foreach_mul(v, -found)))

        return found + _power(shifted, start, iterations)


def loss_gradient(
    model: Transformer, ids: Tensor, targets: Tensor, document: Tensor | None = None
) -> Callable[[], list[Tensor]]:
    """A gradient_of for list(model.parameters()): the mean loss over the targets that count, without dropout."""
    parameters = list(model.parameters())
    counted = (targets != -100).sum()

    def gradient_of() -> list[Tensor]:
        flags = [(module, module.training) for module in model.modules()]
        try:
            model.eval()
            with torch.enable_grad(), torch.autocast(ids.device.type, enabled=False):
                loss = model.loss(ids, targets, document=document).loss.sum() / counted
                return list(torch.autograd.grad(loss, parameters))
        finally:
            for module, training in flags:
                module.training = training

    return gradient_of


def _power(times: Callable[[Vector], Vector], start: Vector, iterations: int) -> float:
    """The Rayleigh quotient after `iterations` products. Waits for a GPU once."""
    product = start
    for _ in range(iterations):
        length = _norm(product)
        v = list(torch._foreach_div(product, torch.where(length > 0, length, 1.0)))  # H = 0 gives 0, not 0 / 0
        product = times(v)
        quotient = torch.stack([(a * b).sum() for a, b in zip(v, product, strict=True)]).sum()
    return quotient.item()


def _norm(vector: Sequence[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(vector))))


def _gradient_at(
    gradient_of: Callable[[], Sequence[Tensor]], parameters: Sequence[Tensor], place: Sequence[Tensor]
) -> Vector:
    for parameter, value in zip(parameters, place, strict=True):
        parameter.copy_(value)
        parameter.grad = None  # a gradient_of that calls backward() would add to the last one's
    with torch.enable_grad():
        return [gradient.detach().clone() for gradient in gradient_of()]  # it may use its tensors again


@contextmanager
def _put_back(parameters: Sequence[Tensor]) -> Iterator[Vector]:
    """Yields copies of the parameters; at the end they and their .grad are what they were, whatever has happened."""
    kept = [parameter.detach().clone() for parameter in parameters]
    gradients = [parameter.grad for parameter in parameters]
    try:
        yield kept
    finally:
        with torch.no_grad():
            for parameter, value, gradient in zip(parameters, kept, gradients, strict=True):
                parameter.copy_(value)
                parameter.grad = gradient
