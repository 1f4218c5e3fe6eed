"""What a run has measured so far, as the rules ask for it: per curve, per family, by step. Not for judging it."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.observe.tags import split

# Nobody looks further back than so many points: a longer stretch was told of long ago, and a row stays cheap to judge.
MAX_POINTS = 512

LONG_STEPS = 200
"""What lasts as long is no accident. A run of fewer than ten times as many steps is judged after a tenth of them."""
SHORTEST_STEPS = 20


@dataclass(frozen=True)
class Stretch:
    """The unbroken run of points, up to the newest, for which something holds."""

    n_points: int
    begin: int
    """The step after which it holds: that of the last point for which it does not."""
    end: int

    @property
    def steps(self) -> int:
        return self.end - self.begin


@dataclass
class History:
    """A run's newest points. A curve's value is a number; a family's is {member: number}, one dict for each step."""

    train: TrainConfig
    model: ModelConfig
    step: int = 0
    _points: defaultdict[str, list[tuple[int, Any]]] = field(default_factory=lambda: defaultdict(list))
    _lowest: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)

    def add(self, step: int, values: Mapping[str, float]) -> set[str]:
        """Take one row of metrics; returns the curves and families that it holds."""
        self.step = step
        names = set()
        for tag, number in values.items():
            if tag in ("step", "time"):
                continue
            parts = split(tag)
            name = parts[0] if parts else tag
            names.add(name)
            points = self._points[name]
            if not parts:
                points.append((step, float(number)))
            elif points and points[-1][0] == step:
                points[-1][1][parts[1]] = float(number)
            else:
                points.append((step, {parts[1]: float(number)}))
            if len(points) > 2 * MAX_POINTS:
                del points[: MAX_POINTS - 1]  # one more than is looked at: a stretch begins after it
        return names

    @property
    def warmup_steps(self) -> int:
        return round(self.train.warmup * self.train.steps)

    @property
    def patience(self) -> int:
        """Steps after which a condition counts as lasting."""
        return min(LONG_STEPS, max(SHORTEST_STEPS, self.train.steps // 10))

    @property
    def is_settled(self) -> bool:
        """The warm-up is over, and was long enough ago for lasting conditions to show."""
        return self.step >= self.warmup_steps + self.patience

    @property
    def initial_weight_norm(self) -> float:
        """What random weights have: matrices of a spread of 0.02, norms of ones."""
        model = self.model
        n_matrix = model.n_matmul_parameters
        n_matrix += 0 if model.tie_embeddings else model.vocab_size * model.d_model
        n_matrix += model.context * model.d_model if model.positions == "learned" else 0
        return math.sqrt(0.02**2 * n_matrix + (2 * model.n_layers + 1) * model.d_model)

    @property
    def rate_share(self) -> float:
        """The present learning rate as a share of its peak; 1 where it is not recorded."""
        rate = self.last("train/learning_rate")
        return 1.0 if rate is None else rate / self.train.learning_rate

    def points(self, name: str, *, since: int = -1) -> list[tuple[int, Any]]:
        """The newest MAX_POINTS after the step `since`, oldest first; numbers that are not finite are left out."""
        found: list[tuple[int, Any]] = []
        for step, value in reversed(self._points.get(name, ())):
            if step <= since or len(found) == MAX_POINTS:
                break
            if isinstance(value, dict) or math.isfinite(value):
                found.append((step, value))
        return found[::-1]

    def raw(self, name: str) -> list[tuple[int, Any]]:
        """The points that are kept, oldest first, those that are not finite too."""
        return self._points.get(name, [])

    def either(self, family: str, curve: str) -> str:
        """The family where the run records it, which says where; else the curve that sums it up."""
        return family if family in self._points else curve

    def last(self, name: str) -> Any:
        """The newest value as it was recorded, NaN too; None if there is none."""
        points = self._points.get(name)
        return points[-1][1] if points else None

    def mean(self, name: str, steps: int, *, back: int = 0, least: int = 3) -> float | None:
        """Mean over the last `steps` steps, or those that end `back` steps earlier; None below `least` points."""
        end = self.step - back
        values = [value for step, value in self.points(name, since=end - steps) if step <= end]
        return statistics.fmean(values) if len(values) >= least else None

    def mean_at(self, name: str, step: int) -> float | None:
        """Mean over the `patience` steps up to `step`; None where there is no point."""
        return self.mean(name, self.patience, back=self.step - step, least=1)

    def lowest_mean(self, name: str, steps: int) -> float | None:
        """The lowest that mean(name, steps) has been at any of this call's times; call it at each new point."""
        now = self.mean(name, steps)
        best_step, best = self._lowest.get((name, steps), (-1, math.inf))
        if now is not None and now < best:
            best_step, best = self.step, now
        self._lowest[name, steps] = best_step, best
        return best if best_step >= 0 else None

    def stretch(self, name: str, holds: Callable[[Any], bool]) -> Stretch:
        """How long `holds` has been true of a curve's numbers or a family's dicts, up to the newest."""
        points = self._points.get(name, [])
        n = 0
        while n < min(len(points), MAX_POINTS) and holds(points[-1 - n][1]):
            n += 1
        if not n:
            return Stretch(0, self.step, self.step)
        first = points[-n][0]
        if n < len(points):
            begin = points[-1 - n][0]
        else:  # true from the first point on, which stands for the steps before it
            begin = max(0, 2 * first - points[1][0]) if len(points) > 1 else first
        return Stretch(n, begin, points[-1][0])


def blocks(family: Mapping[str, float]) -> list[float]:
    """The numbers of the blocks `00`, `01`, … of a family, without `embedding` and `final`."""
    return [family[member] for member in sorted(family) if member.isdigit()]


def top(value: float | Mapping[str, float]) -> float:
    """The largest number of a family, or the number of a curve; -inf where none is finite."""
    numbers = value.values() if isinstance(value, Mapping) else (value,)
    return max((number for number in numbers if math.isfinite(number)), default=-math.inf)
