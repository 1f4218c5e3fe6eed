"""One text followed through normalizer, pre-tokenizer, model and decoder: at which stage is something lost?"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import Any

from jarvis_nano.kernels.bpe.patterns import byte_alphabet
from jarvis_nano.kernels.bpe.tokenizer_file import library_part
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab.losses import come_back
from jarvis_nano.tokenizer_lab.settings import FileSettings, Step
from jarvis_nano.tokenizer_lab.spans import OwnTexts


@dataclass(frozen=True)
class Blame:
    """A stage that loses something of a text: `rule` names what it does, `path` the setting."""

    rule: str
    path: str
    setting: str


@dataclass
class Trace:
    """A text that did not come back, and what is to blame. `lost`: the characters that have no token."""

    text: str
    back: str
    blames: list[Blame] = field(default_factory=list)
    lost: str = ""


class Stages:
    """The stages of one tokenizer, each of which can be run alone."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.settings = FileSettings(tokenizer.encoder.raw)
        self._own = OwnTexts(tokenizer)
        self._alphabet = {c for c in byte_alphabet() if ord(c) < 0x80}  # these stand for themselves
        vocab = self.settings.model["vocab"]
        unknown = self.settings.unknown
        self.unknown_id = None if unknown is None else tokenizer.encoder.added_tokens.get(unknown, vocab.get(unknown))

    def follow(self, text: str) -> Trace | None:
        """None where the text comes back; else the trace, with at least one blame."""
        back = come_back(self.tokenizer, text)
        if back == text:
            return None
        trace = Trace(text, back)
        normalized = self._normalize(text, trace)
        dropped = self._cut(normalized, trace)
        self._spell("".join(c for c in dict.fromkeys(normalized) if c not in dropped), trace)
        self._decode(trace)
        if not trace.blames:
            self._oddities(trace)
        if not trace.blames:
            trace.blames.append(Blame("unexplained", "the file as a whole", ""))
        return trace

    def _normalize(self, text: str, trace: Trace) -> str:
        undone = self._undone_by_decoder()
        for step in self.settings.steps("normalizer"):
            after = _component("normalizer", json.dumps(step.part)).normalize_str(text)
            if step.kind == "Prepend":
                if trace.back.endswith(trace.text) and trace.back != trace.text:
                    trace.blames.append(Blame("adds a space", step.path, f"Prepend {step.part['prepend']!r}"))
            elif after != text and not (step.kind == "Replace" and step.part["content"] in undone):
                trace.blames.append(Blame(f"normalizes by {step.kind}", step.path, step.kind))
            text = after
        return text

    def _oddities(self, trace: Trace) -> None:
        """Blames for what only a few files have."""
        mark = self._mark_of_spaces() if "▁" in trace.text else None
        if mark is not None:
            trace.blames.append(Blame("takes a character for its own", mark.path, "▁ for a space"))
        for affix in ("end_of_word_suffix", "continuing_subword_prefix"):
            if self.settings.model.get(affix):
                setting = repr(self.settings.model[affix])
                trace.blames.append(Blame("spells parts of words apart", f"model.{affix}", setting))

    def _mark_of_spaces(self) -> Step | None:
        steps = [
            step for section in ("normalizer", "pre_tokenizer", "decoder") for step in self.settings.steps(section)
        ]
        for step in steps:
            pattern = step.part.get("pattern")
            texts = [step.part.get("content"), step.part.get("replacement")]
            if "▁" in [*texts, pattern.get("String") if isinstance(pattern, dict) else None]:
                return step
        return None

    def _undone_by_decoder(self) -> set[str]:
        found = {
            step.part["pattern"].get("String") for step in self.settings.steps("decoder") if step.kind == "Replace"
        }
        return found | {step.part["replacement"] for step in self.settings.steps("decoder") if step.kind == "Metaspace"}

    def _cut(self, text: str, trace: Trace) -> set[str]:
        """Blames the steps that drop characters; which ones they drop."""
        dropped: set[str] = set()
        for step in self.settings.steps("pre_tokenizer"):
            longer = len(trace.back) > len(trace.text)
            same = trace.back.replace(" ", "") == trace.text.replace(" ", "") or trace.back.endswith(trace.text)
            if self._adds_space(step) and longer and same:
                trace.blames.append(Blame("adds a space", step.path, f"{step.kind} with a space put in front"))
            if step.kind == "ByteLevel" or not text:
                continue
            pieces = _component("pre_tokenizer", json.dumps(step.part)).pre_tokenize_str(text)
            covered = bytearray(len(text))
            for _, (begin, end) in pieces:
                covered[begin:end] = b"\1" * (end - begin)
            if step.kind != "Metaspace" and 0 in covered:
                trace.blames.append(Blame("drops characters", step.path, step.kind))
                dropped.update(c for c, kept in zip(text, covered, strict=True) if not kept)
        return dropped

    def _adds_space(self, step: Step) -> bool:
        if step.kind == "ByteLevel":
            return bool(step.part.get("add_prefix_space", True))
        return step.kind == "Metaspace" and step.part.get("prepend_scheme", "always") != "never"

    def _spell(self, characters: str, trace: Trace) -> None:
        ids = self.tokenizer.encode(trace.text).tolist()
        for content in self._greedy_added(ids, trace.text):
            trace.blames.append(Blame("takes more than an added token's text", "added_tokens", repr(content)))
        foreign = any(character not in self._alphabet for character in trace.text)
        if self.tokenizer.encoder.byte_level and not self.settings.in_bytes and foreign:
            trace.blames.append(Blame("is not spelt in bytes", "pre_tokenizer", "without a ByteLevel step"))
            return
        if self.unknown_id is not None and self.unknown_id in ids:
            trace.lost = "".join(c for c in characters if self.unknown_id in self._ids(c))
            trace.blames.append(Blame("has no token for characters", "model.unk_token", repr(self.settings.unknown)))
            return
        missing = "".join(c for c in characters if self._vanishes(c))
        if missing:
            trace.lost = missing
            trace.blames.append(Blame("has no token for characters", "model.vocab", self._why_missing()))

    def _greedy_added(self, ids: list[int], text: str) -> list[str]:
        """The added tokens among the ids that take spaces along, or stand for a text that is not theirs."""
        present = set(ids)
        entries = self.settings.data.get("added_tokens") or []
        return [
            entry["content"]
            for entry in entries
            if self.tokenizer.encoder.added_tokens.get(entry["content"]) in present
            and (entry.get("lstrip") or entry.get("rstrip") or entry["content"] not in text)
            and entry["content"] != self.settings.unknown
        ]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).tolist()

    def _vanishes(self, character: str) -> bool:
        """Whether the model drops a character that the cutting leaves there."""
        if character.isspace() and not self.settings.in_bytes:
            return False
        ids = self._ids(character)
        return not ids or (self.settings.in_bytes and self._own.joined(ids).strip(" ") != character.strip(" "))

    def _why_missing(self) -> str:
        if self.settings.in_bytes:
            return "bytes of the alphabet are missing from the vocabulary"
        return "no token, no unk_token, model.byte_fallback false"

    def _decode(self, trace: Trace) -> None:
        ids = self._ids(trace.text)
        own = self._own.joined(ids)
        if self.settings.data.get("decoder") is None:
            names = [self.tokenizer.piece(index) for index in ids]
            if len(ids) > 1 or "".join(names) != own:
                trace.blames.append(Blame("joins tokens with spaces", "decoder", "null"))
            return
        kinds = ", ".join(step.kind for step in self.settings.steps("decoder"))
        if self.settings.in_bytes and not self.tokenizer.encoder.byte_level:
            trace.blames.append(Blame("leaves its own spelling", "decoder", f"{kinds}, for tokens spelt in bytes"))
        elif not trace.blames and (
            own == trace.text or own.strip(" ") == trace.text.strip(" ") != trace.back.strip(" ")
        ):
            trace.blames.append(Blame("changes what the tokens say", "decoder", kinds))


@functools.lru_cache(maxsize=64)
def _component(section: str, part: str) -> Any:
    return library_part({section: json.loads(part)}, section)
