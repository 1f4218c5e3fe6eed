"""The built-in corpus: stories and exercises to pretrain on, instructions to tune on, from a seed alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jarvis_nano.corpus import assistant, stories
from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.split import Split

MAX_VOCABULARY = 2048  # tokens: it knows some 3,000 words, and no tokenizer can make more pieces than there are
EXERCISE_SHARE = (
    0.25  # of the bytes: copying and inflecting are learnt there, so that tuning has to teach the form only
)


@dataclass(frozen=True)
class Builtin:
    """How much of it, and which."""

    megabytes: float = 8.0
    seed: int = 0
    instructions: int = 24000
    held_out: int = 440

    def documents(self) -> Iterator[Document]:
        """Stories with a share of exercises mixed in, until the size is reached."""
        wanted = round(self.megabytes * 1e6)
        tales = stories.generate(1 << 40, self.seed)
        drills = assistant.exercises(1 << 40, self.seed)
        written = drilled = number = 0
        while written < wanted:
            is_drill = drilled < EXERCISE_SHARE * written
            text = next(drills if is_drill else tales)
            size = len(text.encode("utf-8"))
            written, drilled, number = written + size, drilled + size * is_drill, number + 1
            yield Document(f"builtin-{number}", text, "exercises" if is_drill else "stories")

    def write_instructions(self, path: Path, split: Split) -> None:
        """One {"instruction", "response", "kind"} a line."""
        count = self.instructions if split == "train" else self.held_out
        with path.open("w", encoding="utf-8") as file:
            for example in assistant.examples(count, self.seed, split=split):
                row = {"instruction": example.instruction, "response": example.response, "kind": example.kind}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def instruction_texts(self) -> Iterator[str]:
        """What the tokenizer sees of the training instructions."""
        for example in assistant.examples(self.instructions, self.seed):
            yield f"{example.instruction}\n{example.response}"

    def fingerprint(self) -> str:
        """Changes with the settings and with the code that writes the texts, so that an old corpus is never reused."""
        digest = hashlib.sha256(repr(self).encode())
        here = Path(__file__).parent
        for path in sorted([*here.glob("*.py"), *here.glob("grammar/*.py")]):  # what reads files has no part in it
            digest.update(path.read_bytes())
        return digest.hexdigest()
