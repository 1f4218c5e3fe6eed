"""A finding of the diagnosis: which rule, since when, on what evidence; in words, and as a line of diagnosis.jsonl."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jarvis_nano.observe.diagnosis.texts import TEXTS
from jarvis_nano.observe.tags import Lang, describe, member_title, split

Severity = Literal["info", "warning", "alarm"]
SEVERITIES: dict[Severity, tuple[str, str]] = {
    "alarm": ("alarme", "alarm"),
    "warning": ("attention", "warning"),
    "info": ("à noter", "note"),
}
"""From the worst down: (French, English)."""


@dataclass(frozen=True)
class Evidence:
    """One number that speaks for a finding."""

    tag: str
    value: float
    """NaN where the number itself is what is wrong."""
    threshold: float
    """NaN where there is none."""
    steps: int
    """For how many steps it has been beyond the threshold."""


@dataclass(frozen=True)
class Finding:
    """One illness, from the step at which it began to the last one at which it was still there."""

    rule: str
    severity: Severity
    first_step: int
    last_step: int
    evidence: tuple[Evidence, ...]
    source: str
    """The paper, or the practice, that the rule comes from."""

    def text(self, lang: Lang = "fr") -> str:
        """What is seen, since when, and what to try: one or two sentences."""
        colon = " : " if lang == "fr" else ": "
        return f"{self.seen(lang)}{colon}{self.remedy(lang)}."

    def seen(self, lang: Lang = "fr") -> str:
        return self._fill(TEXTS[self.rule].seen[lang == "en"], lang)

    def remedy(self, lang: Lang = "fr") -> str:
        """What to try."""
        return self._fill(TEXTS[self.rule].remedy[lang == "en"], lang)

    def title(self, lang: Lang = "fr") -> str:
        """The illness in a few words."""
        return TEXTS[self.rule].title[lang == "en"]

    def proof(self, lang: Lang = "fr") -> list[str]:
        """The evidence, a line each: tag, value, threshold, steps."""
        limit, steps = ("seuil", "pas") if lang == "fr" else ("threshold", "steps")
        lines = []
        for one in self.evidence:
            threshold = "" if math.isnan(one.threshold) else f"{limit} {number(one.threshold, one.tag, lang)}, "
            lines.append(f"{one.tag} = {number(one.value, one.tag, lang)} ({threshold}{one.steps} {steps})")
        return lines

    def _fill(self, template: str, lang: Lang) -> str:
        first, last = self.evidence[0], self.evidence[-1]
        return template.format(
            value=number(first.value, first.tag, lang),
            threshold=number(first.threshold, first.tag, lang),
            steps=first.steps,
            tag=first.tag,
            name=describe(first.tag).title(lang),
            where=_where(first.tag, lang),
            since=self.first_step,
            other=number(last.value, last.tag, lang),
        )

    def to_json(self) -> dict[str, Any]:
        """A line of diagnosis.jsonl without its time; strict JSON, so a number that is not finite becomes null."""
        evidence = [
            {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in asdict(one).items()}
            for one in self.evidence
        ]
        return {
            "step": self.last_step,
            "rule": self.rule,
            "severity": self.severity,
            "from_step": self.first_step,
            "evidence": evidence,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Finding:
        evidence = tuple(
            Evidence(one["tag"], _nan(one["value"]), _nan(one["threshold"]), one["steps"]) for one in line["evidence"]
        )
        return cls(line["rule"], line["severity"], line["from_step"], line["step"], evidence, line["source"])


def number(value: float, tag: str, lang: Lang = "fr") -> str:
    """A tag's number as people write it: 40 %, 0,0012, 3,2·10⁻⁵; a decimal comma in French."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if describe(tag).unit == "share":
        text = f"{100 * value:.3g}" if abs(value) < 1 else f"{100 * value:.0f}"
        text += " %"
    elif value and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}".replace(",", " " if lang == "fr" else ",")
    else:
        text = f"{value:.3g}"
    if lang == "en" or abs(value) >= 1000:
        return text.replace("-", "−")
    return text.replace(".", ",").replace("-", "−")


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _where(tag: str, lang: Lang) -> str:
    """« le bloc 3 », « la tête 5 du bloc 3 », « l'entrée », for a family's member; empty for a curve."""
    parts = split(tag)
    if parts is None:
        return "une couche" if lang == "fr" else "a layer"
    member = parts[1]
    if member.isdigit():
        return f"le bloc {int(member)}" if lang == "fr" else f"block {int(member)}"
    layer, dot, head = member.partition(".")
    if dot and layer.isdigit() and head.isdigit():
        return (
            f"la tête {int(head)} du bloc {int(layer)}" if lang == "fr" else f"head {int(head)} of block {int(layer)}"
        )
    fixed = {"embedding": ("l'entrée", "the input"), "final": ("la sortie", "the output")}
    return fixed[member][lang == "en"] if member in fixed else member_title(member, lang)


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
