"""How sharp the loss is: the largest eigenvalue of its Hessian, from gradients alone.

Lanczos' iteration on Hessian-vector products, each the difference of two gradients. So every kernel will do, none of
which has a second derivative. It costs two gradients an iteration: for now and then, and by request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from jarvis_nano.data.batches import NO_TARGET
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

    H v ≈ (g(θ + εv) - g(θ - εv)) / 2ε with ‖v‖ = 1. The error is ε²/6 of the gradient's third derivative along v, and
    the gradients' rounding over ε. With ε = relative_step · ‖θ‖ and 1e-4 (float64: 1e-5) it is about 1e-3 of λ or less
    on the models of docs/probes.md's table; the cube root of the rounding, 5e-3, which is best for a function that
    curves alike in every direction, is too long a step along a sharp one.

    Lanczos and not power iteration: early in training the Hessian has eigenvalues of both signs and about one size,
    between which power iteration wanders. On an untrained model it gave 22.4 after 40 products and 17.3 after 80, where
    Lanczos gives 23.96 after 20 and after 40. It needs one vector more: they are not made orthogonal again, which
    makes copies of eigenvalues that have converged and leaves the outermost where they are (Paige 1972). The
    estimate comes from below.

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

        diagonal, beside = _lanczos(hessian_times, start, iterations)
    return _largest(diagonal.double().cpu(), beside.double().cpu())


def loss_gradient(
    model: Transformer, ids: Tensor, targets: Tensor, document: Tensor | None = None
) -> Callable[[], list[Tensor]]:
    """A gradient_of for list(model.parameters()): the mean loss over the targets that count, without dropout."""
    parameters = list(model.parameters())
    counted = (targets != NO_TARGET).sum()

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


def _lanczos(times: Callable[[Vector], Vector], start: Vector, iterations: int) -> tuple[Tensor, Tensor]:
    """The tridiagonal matrix that H is in the space of start, H start, H² start …: its diagonal (n,) and what stands
    beside it (n,), the last of which leads out of the matrix."""
    v_before, v = [torch.zeros_like(piece) for piece in start], _unit(start, _norm(start))
    diagonal: list[Tensor] = []
    beside = [_norm(v_before)]
    for _ in range(iterations):
        rest = torch._foreach_sub(times(v), torch._foreach_mul(v_before, beside[-1]))
        diagonal.append(_dot(rest, v))
        rest = torch._foreach_sub(rest, torch._foreach_mul(v, diagonal[-1]))
        beside.append(_norm(rest))
        v_before, v = v, _unit(rest, beside[-1])
    return torch.stack(diagonal), torch.stack(beside[1:])


def _largest(diagonal: Tensor, beside: Tensor) -> float:
    """The largest eigenvalue of the tridiagonal matrix, on the host; NaN where it is not finite."""
    if not (diagonal.isfinite().all() and beside.isfinite().all()):
        return math.nan
    # Where nothing leads on, the space is exhausted (as in few dimensions); what follows belongs to a vector of zeros.
    ends = (beside == 0).nonzero().flatten().tolist()
    n = ends[0] + 1 if ends else len(diagonal)
    matrix = torch.diag(diagonal[:n]) + torch.diag(beside[: n - 1], 1) + torch.diag(beside[: n - 1], -1)
    return torch.linalg.eigvalsh(matrix)[-1].item()


def _unit(vector: Sequence[Tensor], length: Tensor) -> Vector:
    return list(torch._foreach_div(list(vector), torch.where(length == 0, 1.0, length)))  # 0 / 0 stays 0


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


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
