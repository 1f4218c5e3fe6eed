"""Normalising: one text in, one clean text out, by rules that can each be switched. Not for choosing what to keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jarvis_nano.corpus.normalise import mojibake
from jarvis_nano.corpus.normalise.rules import CHARACTER_RULES, LAYOUT_RULES, RULES, Rule
from jarvis_nano.errors import UserError

__all__ = ["RULES", "Normaliser", "Rule"]

_NAMED = {rule.name: rule for rule in RULES}
_LAID_OUT = " \n'’.…-—«»"  # characters that a rule of LAYOUT_RULES may bring and another may be triggered by
_MAX_ROUNDS = 100  # text is stable after two or three; only text made for the purpose goes further


class Normaliser:
    """normaliser(text) -> the normalised text; `changed` counts, by rule, the texts that the rule changed.

    The rules of RULES that are on by default, without those named in `off`, with those named in `on`. What it returns
    it leaves as it is: n(n(x)) == n(x). Memory: a few copies of the text. Can be pickled. UserError on a name that is
    no rule's, on one named both in `off` and `on`, and on a pair that cannot be on together.
    """

    def __init__(self, off: Iterable[str] = (), on: Iterable[str] = ()) -> None:
        self.settings = _settings(_listed(off), _listed(on))
        self.changed: Counter[str] = Counter()
        self._characters = tuple(rule for rule in CHARACTER_RULES if self.settings[rule.name])
        self._layout = tuple(rule for rule in LAYOUT_RULES if self.settings[rule.name])

    def __call__(self, text: str) -> str:
        changed: set[str] = set()
        for _ in range(_MAX_ROUNDS):
            text, present = self._settle_characters(text, changed)
            text = self._lay_out(text, present, changed)
            # Only the spaces that were laid out can make new evidence of mojibake, and only next to rare letters.
            if present.isdisjoint(mojibake.HINTS) or not self.settings["mojibake"] or not mojibake.has_evidence(text):
                break
        self.changed.update(changed)
        return text

    def _settle_characters(self, text: str, changed: set[str]) -> tuple[str, set[str]]:
        """The text after the rules about characters, repeated until nothing changes, and the characters it has."""
        present = set(text)  # 8 ms/MB, the dearest step for clean text: once, unless a rule works
        for _ in range(_MAX_ROUNDS):
            before = text
            for rule in self._characters:
                if rule.triggers and present.isdisjoint(rule.triggers):
                    continue
                after = rule.apply(text)
                if after != text:
                    text, present = after, set(after)
                    changed.add(rule.name)
            if text == before:
                break
        return text, present

    def _lay_out(self, text: str, present: set[str], changed: set[str]) -> str:
        for rule in self._layout:
            if rule.triggers and present.isdisjoint(rule.triggers):
                continue
            after = rule.apply(text)
            if after != text:
                text = after
                present.update(_LAID_OUT)
                changed.add(rule.name)
        return text


def _listed(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _settings(off: list[str], on: list[str]) -> dict[str, bool]:
    """Which rule is on; JSON can hold it."""
    unknown = sorted({*off, *on} - _NAMED.keys())
    if unknown:
        raise UserError(f"no rule is named {', '.join(unknown)}; the rules are: {', '.join(_NAMED)}")
    both = sorted({*off} & {*on})
    if both:
        raise UserError(f"asked both on and off: {', '.join(both)}; name each rule once")
    settings = {rule.name: rule.on for rule in RULES}
    settings.update(dict.fromkeys(off, False))
    for name in on:
        other = _NAMED[name].instead_of or next((rule.name for rule in RULES if rule.instead_of == name), "")
        if other in on:
            raise UserError(f"the rules {name} and {other} undo each other; switch one of them on, not both")
        settings[name] = True
        if other:
            settings[other] = False
    return settings
