"""A tokenizer examined: its file read, probing texts sent through it, findings in the order of their harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jarvis_nano.tokenizer_lab.doctor.finding import LEVELS, Finding
from jarvis_nano.tokenizer_lab.doctor.french import costs
from jarvis_nano.tokenizer_lab.doctor.losing import losses
from jarvis_nano.tokenizer_lab.doctor.probes import with_tokens
from jarvis_nano.tokenizer_lab.doctor.reading import read_config, risks, vocabulary_notes
from jarvis_nano.tokenizer_lab.doctor.stages import Stages, Trace
from jarvis_nano.tokenizer_lab.loading import load

LINES = 300  # of the data, followed through the stages
LINE = 2000  # characters of one


@dataclass(frozen=True)
class Diagnosis:
    """All findings about one tokenizer. `probes`: (texts that came back, texts tried)."""

    path: str
    hash: str
    vocab_size: int
    pattern: str
    findings: list[Finding]
    probes: tuple[int, int]
    lines: tuple[int, int]

    @property
    def loses(self) -> bool:
        """Whether any text is lost."""
        return any(finding.level == "loses" for finding in self.findings)

    @property
    def healthy(self) -> bool:
        """Whether nothing is lost or at risk; costs and notes do not count."""
        return all(finding.level in ("cost", "note") for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"loses": self.loses, "healthy": self.healthy}


def examine(path: Path, texts: Sequence[str]) -> Diagnosis:
    """Examine the tokenizer of a folder or file, on French texts. UserError where it cannot be loaded."""
    loaded = load(path)
    tokenizer, settings = loaded.tokenizer, loaded.settings
    stages = Stages(tokenizer)
    probes = list(with_tokens(list(tokenizer.encoder.added_tokens)).values())
    lines = _lines(texts)
    in_probes, in_lines = _traces(stages, probes), _traces(stages, lines)
    findings = [
        *losses(in_probes, in_lines, len(lines)),
        *risks(tokenizer, settings, read_config(path)),
        *costs(tokenizer, settings, texts),
        *vocabulary_notes(tokenizer, settings, texts),
    ]
    order = list(LEVELS)
    return Diagnosis(
        path=str(path),
        hash=tokenizer.hash,
        vocab_size=tokenizer.vocab_size,
        pattern=tokenizer.encoder.scanner,
        findings=sorted(findings, key=lambda finding: (order.index(finding.level), -finding.share)),
        probes=(len(probes) - len(in_probes), len(probes)),
        lines=(len(lines) - len(in_lines), len(lines)),
    )


def _traces(stages: Stages, texts: Sequence[str]) -> list[Trace]:
    return [trace for text in texts if (trace := stages.follow(text)) is not None]


def _lines(texts: Sequence[str]) -> list[str]:
    """Lines spread over the texts, each once."""
    found = dict.fromkeys(line[:LINE] for text in texts for line in text.splitlines() if line.strip())
    step = max(1, len(found) // LINES)
    return list(found)[::step][:LINES]
