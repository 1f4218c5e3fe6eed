"""The built-in corpus: stories and plain knowledge to pretrain on, instructions to tune on, from a seed alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jarvis_nano.corpus import assistant, stories
from jarvis_nano.corpus.documents import Document

MAX_VOCABULARY = 2048  # tokens: it knows some 3,000 words, and no tokenizer can make more pieces than there are
KNOWLEDGE_SHARE = 0.1  # of the bytes: sums, capitals and facts, so that tuning only has to teach the form of an answer


@dataclass(frozen=True)
class Builtin:
    """How much of it, and which."""

    megabytes: float = 8.0
    seed: int = 0
    instructions: int = 12000
    held_out: int = 400

    def documents(self) -> Iterator[Document]:
        """Stories with a tenth of knowledge mixed in, until the size is reached."""
        wanted = round(self.megabytes * 1e6)
        tales = stories.generate(1 << 40, self.seed)
        facts = assistant.knowledge(1 << 40, self.seed)
        written = knowledge = 0
        number = 0
        while written < wanted:
            is_fact = knowledge < KNOWLEDGE_SHARE * written
            text = next(facts if is_fact else tales)
            size = len(text.encode("utf-8"))
            written, knowledge, number = written + size, knowledge + size * is_fact, number + 1
            yield Document(f"builtin-{number}", text, "knowledge" if is_fact else "stories")

    def write_instructions(self, path: Path, split: str) -> None:
        """One {"instruction", "response", "kind"} a line."""
        count = self.instructions if split == "train" else self.held_out
        with path.open("w", encoding="utf-8") as file:
            for example in assistant.examples(count, self.seed, split=split):
                row = {"instruction": example.instruction, "response": example.response, "kind": example.kind}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def fingerprint(self) -> str:
        """Changes with the settings and with the code that writes the texts, so that an old corpus is never reused."""
        digest = hashlib.sha256(repr(self).encode())
        for path in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(path.read_bytes())
        return digest.hexdigest()
