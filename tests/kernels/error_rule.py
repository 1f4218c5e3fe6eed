"""The rule for a kernel's error: at most twice that of the framework in the same dtype, both against float64."""

from __future__ import annotations

from torch import Tensor


def check(name: str, ours: Tensor, theirs: Tensor, truth: Tensor, atol: float) -> None:
    """AssertionError when `ours` is further from `truth` than the rule allows. `theirs`: torch in ours' dtype."""
    assert ours.shape == truth.shape, f"{name}: {tuple(ours.shape)} in place of {tuple(truth.shape)}"
    if truth.numel() == 0:
        return
    error, allowed = (largest(t, truth) for t in (ours, theirs))
    assert error <= 2 * allowed + atol, f"{name}: error {error:.3g}, torch has {allowed:.3g}, atol {atol:.3g}"


def largest(tensor: Tensor, truth: Tensor) -> float:
    return (tensor.double() - truth.double()).abs().max().item()
