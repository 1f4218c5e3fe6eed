"""The report's curves and heat maps as plain data, which page.js draws. Thinned, so that a page stays small."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from jarvis_nano.observe.report.reading import RunData
from jarvis_nano.observe.tags import TAGS, Lang, Tag, describe, member_title

MAX_POINTS = 1000
MAX_COLUMNS = 160
MAX_ROWS = 400

# Curves that share one chart: the second one is the held-out figure.
PAIRS = {
    "train/loss": "eval/loss",
    "train/perplexity": "eval/perplexity",
    "train/accuracy": "eval/accuracy",
}
TOGETHER = {  # one tag -> (French, English) title of the pair
    "train/loss": ("Perte", "Loss"),
    "train/perplexity": ("Perplexité", "Perplexity"),
    "train/accuracy": ("Exactitude", "Accuracy"),
}


def thin(steps: Sequence[int], values: Sequence[float], limit: int = MAX_POINTS) -> tuple[list[int], list[float]]:
    """At most `limit` points of a curve: its ends, and of each stretch the lowest, the highest and a non-finite one."""
    n = len(steps)
    if n <= limit:
        return list(steps), list(values)
    n_buckets = (limit - 2) // 3
    kept = {0, n - 1}
    for bucket in range(n_buckets):
        inside = range(1 + bucket * (n - 2) // n_buckets, 1 + (bucket + 1) * (n - 2) // n_buckets)
        finite = [i for i in inside if math.isfinite(values[i])]
        if finite:
            kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
        if len(finite) < len(inside):
            kept.add(next(i for i in inside if not math.isfinite(values[i])))
    return [steps[i] for i in sorted(kept)], [values[i] for i in sorted(kept)]


def charts(data: Sequence[RunData], lang: Lang) -> list[dict[str, Any]]:
    """Every curve that one of the runs has, in the table's order, train and eval of a kind together."""
    tags = _in_order({tag for run in data for tag in run.curves})
    partners = {held_out: tag for tag, held_out in PAIRS.items()}
    drawn = []
    for tag in tags:
        if partners.get(tag) in tags:
            continue  # on its partner's chart
        both = PAIRS.get(tag) in tags
        members = [tag, PAIRS[tag]] if both else [tag]
        series = [
            _series(run, index, member, lang, held_out=member in partners)
            for index, run in enumerate(data)
            for member in members
            if member in run.curves
        ]
        about = describe(tag)
        title = TOGETHER[tag][lang == "en"] if both else about.title(lang)
        drawn.append(_frame(about, tag, title, lang) | {"series": series})
    return drawn


def _series(run: RunData, index: int, tag: str, lang: Lang, *, held_out: bool) -> dict[str, Any]:
    steps, values = thin(*run.curves[tag])
    return {
        "run": index,
        "tag": tag,
        "name": describe(tag).title(lang),
        "held_out": held_out,
        "steps": steps,
        "values": [_strict(value) for value in values],
    }


def heat_maps(data: Sequence[RunData], lang: Lang) -> list[dict[str, Any]]:
    """Every family that one of the runs has: a map for each run, rows the members and columns the steps."""
    drawn = []
    for family in _in_order({family for run in data for family in run.families}):
        about = describe(f"{family}/x")
        maps = [_map(run, index, family, lang) for index, run in enumerate(data) if family in run.families]
        drawn.append(_frame(about, family, about.title(lang), lang) | {"maps": maps})
    return drawn


def _map(run: RunData, index: int, family: str, lang: Lang) -> dict[str, Any]:
    by_step = run.families[family]
    steps = sorted(by_step)
    if len(steps) > MAX_COLUMNS:
        steps = [steps[i * (len(steps) - 1) // (MAX_COLUMNS - 1)] for i in range(MAX_COLUMNS)]
    members = sorted({member for row in by_step.values() for member in row}, key=_natural)[:MAX_ROWS]
    values = [[_strict(by_step[step].get(member)) for step in steps] for member in members]
    return {"run": index, "members": [member_title(m, lang) for m in members], "steps": steps, "values": values}


def _frame(about: Tag, tag: str, title: str, lang: Lang) -> dict[str, Any]:
    return {
        "tag": tag,
        "group": about.group,
        "title": title,
        "about": about.about(lang),
        "unit": about.unit,
        "log": about.log,
    }


def _in_order(tags: set[str]) -> list[str]:
    """As in the table of tags, and what is not in it after that, by name."""
    known = [tag for tag in TAGS if tag in tags]
    return known + sorted(tags - set(known))


def _natural(member: str) -> tuple[Any, ...]:
    """Numbers by size, `embedding` first and `final` last."""
    place = {"embedding": 0, "final": 2}.get(member, 1)
    parts = [part for part in re.split(r"(\d+)", member) if part]
    return place, [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _strict(value: float | None) -> float | None:
    """JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None
