"""A tokenizer.json read for its settings: which steps it has, under which path of the file. Encoding is kernels/bpe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_INNER = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "decoder": "decoders"}


class Step(NamedTuple):
    """One step of a section, and where it stands: normalizer.normalizers[0]."""

    path: str
    part: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.part.get("type"))


class FileSettings:
    """The settings of a tokenizer.json that BpeEncoder has loaded, so that its JSON is known to be sound."""

    def __init__(self, raw: bytes) -> None:
        self.data: dict[str, Any] = json.loads(raw)
        self.model: dict[str, Any] = self.data["model"]

    def steps(self, section: str) -> list[Step]:
        """The steps of "normalizer", "pre_tokenizer" or "decoder", those of Sequences one after the other."""
        return list(_flat(self.data.get(section), section, _INNER[section]))

    @property
    def unknown(self) -> str | None:
        """The token that stands for characters without one."""
        return self.model.get("unk_token")

    @property
    def in_bytes(self) -> bool:
        """Whether words are spelt in the byte alphabet."""
        return any(step.kind == "ByteLevel" for step in self.steps("pre_tokenizer"))

    @property
    def marks_spaces(self) -> bool:
        """Whether ▁ stands for a space in the vocabulary."""
        steps = [*self.steps("pre_tokenizer"), *self.steps("normalizer")]
        return any("▁" in (step.part.get("replacement"), step.part.get("content")) for step in steps)


def _flat(part: Any, path: str, inner: str) -> Iterator[Step]:
    if part is None:
        return
    if part.get("type") != "Sequence":
        yield Step(path, part)
        return
    for number, each in enumerate(part.get(inner) or []):
        yield from _flat(each, f"{path}.{inner}[{number}]", inner)
