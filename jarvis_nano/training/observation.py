"""What is looked at beside the training: probes, the microscope, grammar, spectra, the diagnosis, and what they cost.

Rank 0 has one, unless the run is told --observe off. Nothing here changes the training: the weights are the same bit
for bit with and without it. The figures and pages come from observe/ and evaluation/; here it is decided when.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jarvis_nano.config import TrainConfig
from jarvis_nano.data.batches import NO_TARGET, Batch
from jarvis_nano.evaluation import grammar
from jarvis_nano.model import Transformer
from jarvis_nano.observe import categories
from jarvis_nano.observe.curvature import largest_eigenvalue, loss_gradient
from jarvis_nano.observe.diagnosis import FILE as FINDINGS
from jarvis_nano.observe.diagnosis import Diagnosis, Finding, FindingsFile, read_findings
from jarvis_nano.observe.heads import head_patterns
from jarvis_nano.observe.metrics import Metrics, read_metrics
from jarvis_nano.observe.microscope import Microscope
from jarvis_nano.observe.microscope_page import PAGE, write_page
from jarvis_nano.observe.microscope_text import as_markdown
from jarvis_nano.observe.pictures import attention_picture
from jarvis_nano.observe.probe import probe
from jarvis_nano.observe.progress import TrainingDisplay
from jarvis_nano.observe.projector import write_projector
from jarvis_nano.observe.readings import FILE as READINGS
from jarvis_nano.observe.readings import Reading, ReadingFile, read_readings
from jarvis_nano.observe.spectra import spectra
from jarvis_nano.observe.tags import Lang
from jarvis_nano.tokenizer import Tokenizer

PROBE_ROWS = 2
PAIRS_DURING_TRAINING = 40  # of each phenomenon, of some 110; at the end all
HESSIAN_ROWS = 2
HESSIAN_ITERATIONS = 10
UNIGRAM_LOSS = "train/unigram_loss"


@dataclass(frozen=True)
class ObserveConfig:
    """What a run shows of itself."""

    on: bool = True
    lang: Lang = "fr"
    profile: int = 0
    """Steps to trace near the start; 0: none."""
    hessian: bool = False
    """Also the largest eigenvalue of the Hessian, at validations."""


class Stopwatch:
    """Seconds spent in blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began


class Observation:
    """Looks at one run, writes what it sees, and says what looks ill."""

    def __init__(
        self,
        run: Path,
        metrics: Metrics,
        display: TrainingDisplay,
        config: TrainConfig,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        settings: ObserveConfig,
        start_step: int,
        counts: np.ndarray,
        rows: Batch,
        passages: Sequence[np.ndarray] = (),
        judge_grammar: bool = True,
    ) -> None:
        """counts (V,): how often each id was seen in a sample of the training text; rows: a batch to probe with;
        passages: held-out ids for the microscope. What the run's files hold up to start_step is read again."""
        self.run, self.metrics, self.display, self.settings = run, metrics, display, settings
        self.model, self.tokenizer = model, tokenizer
        self.watch = Stopwatch()
        self.table = categories.table(tokenizer, counts[: tokenizer.vocab_size])  # a model may have more ids
        self.rows = rows
        self.pairs = grammar.load() if judge_grammar else {}
        self.microscope = Microscope(tokenizer, passages) if len(passages) else None
        self.readings, self.findings = ReadingFile(run), FindingsFile(run)
        self.last_reading: Reading | None = None
        self.diagnosis = Diagnosis(config, model.config, settings.lang)
        self._remember()
        if self.diagnosis.history.last(UNIGRAM_LOSS) is None:
            shares = torch.from_numpy(counts[counts > 0] / counts.sum())
            self._write(start_step, {UNIGRAM_LOSS: torch.special.entr(shares).sum().item()})

    def _remember(self) -> None:
        """What the run has seen and told before it was stopped; nothing at its beginning."""
        earlier = read_readings(self.run)
        self.last_reading = earlier[-1] if earlier else None
        for row in read_metrics(self.run):
            self.diagnosis.feed(int(row["step"]), row)
        told = {(finding.rule, finding.first_step) for finding in read_findings(self.run)}
        for finding in self.diagnosis.holding():  # of steps that were not observed
            if (finding.rule, finding.first_step) not in told:
                self._tell(finding)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Each line of metrics, as it is written: what it means is said once."""
        with self.watch.running():
            self._diagnose(step, values)

    def probe(self, step: int) -> None:
        """One look inside, on a few rows of training text that stay the same."""
        with self.watch.running():
            ids, targets, document = self._rows(PROBE_ROWS)
            self._write(step, probe(self.model, ids, document, targets=targets).numbers)

    def validated(self, step: int, by_id: Tensor | None, *, last: bool = False) -> None:
        """After a validation, and before the first step, where there was none (by_id None): losses by category, the
        microscope, grammar, heads, attention maps, heat maps."""
        with self.watch.running():
            numbers = {} if by_id is None else categories.losses(by_id, self.table)
            if self.model.config.context >= 4:
                numbers |= head_patterns(self.model)
            if self.pairs:
                scores = grammar.accuracy(
                    self.model, self.tokenizer, self.pairs, per_phenomenon=0 if last else PAIRS_DURING_TRAINING
                )
                numbers |= {f"grammar/accuracy/{name}": share for name, share in scores.items()}
                if scores:  # none where every sentence is longer than the context
                    numbers["eval/grammar"] = sum(scores.values()) / len(scores)
            if self.settings.hessian:
                numbers["probe/hessian_max"] = self._curvature()
            self._write(step, numbers)
            self._look(step)
            self._draw(step)

    def saved(self, step: int) -> None:
        """With a checkpoint: the spectra of the matrices, and the embeddings for TensorBoard's projector."""
        with self.watch.running():
            self._write(step, spectra(self.model))
            if self.metrics.has_tensorboard:
                show_embeddings(self.run, self.model, self.tokenizer)

    def close(self) -> None:
        self.readings.close()
        self.findings.close()

    def _write(self, step: int, numbers: Mapping[str, float]) -> None:
        self.metrics.scalars(step, numbers)
        self._diagnose(step, numbers)

    def _diagnose(self, step: int, numbers: Mapping[str, float]) -> None:
        for finding in self.diagnosis.feed(step, numbers):
            self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        line = self.diagnosis.line(finding)
        self.findings.append(finding)
        self.metrics.text(finding.last_step, "diagnosis", line)
        self.display.note(line)

    def _look(self, step: int) -> None:
        if self.microscope is None:
            return
        reading = self.microscope.look(self.model, step)
        self.readings.append(reading)
        write_page(self.run, self.settings.lang)
        self.metrics.markdown(step, "microscope", as_markdown(reading, self.last_reading, self.settings.lang))
        self.last_reading = reading

    def _draw(self, step: int) -> None:
        if not self.metrics.has_tensorboard:
            return
        ids, _, document = self._rows(1)
        maps = probe(self.model, ids, document, attention_rows=1).attention.cpu().numpy()
        pictures = {f"attention/{layer:02d}": attention_picture(one) for layer, one in enumerate(maps)}
        self.metrics.pictures(step, pictures)
        self.metrics.heat_maps(step)

    def _rows(self, n: int) -> Batch:
        """The first n rows that are looked at, where the model lies."""
        device = next(self.model.parameters()).device
        document = self.rows.document
        return Batch(
            self.rows.ids[:n].to(device),
            self.rows.targets[:n].to(device),
            None if document is None else document[:n].to(device),
        )

    def _curvature(self) -> float:
        ids, targets, document = self._rows(HESSIAN_ROWS)
        gradient_of = loss_gradient(self.model, ids, targets, document)
        return largest_eigenvalue(gradient_of, list(self.model.parameters()), iterations=HESSIAN_ITERATIONS)


def cut_back(run: Path, step: int, lang: Lang) -> None:
    """Forget what was seen and told after the step that a run goes on from (-1: all), observed from now on or not."""
    if (run / FINDINGS).is_file():
        with contextlib.closing(FindingsFile(run)) as findings:
            findings.truncate(step)
    if not (run / READINGS).is_file():
        return
    with ReadingFile(run) as readings:
        readings.truncate(step)
    if read_readings(run):
        write_page(run, lang)
    else:
        (run / PAGE).unlink(missing_ok=True)


def show_embeddings(run: Path, model: Transformer, tokenizer: Tokenizer) -> None:
    """The token embeddings for TensorBoard's projector. It looks once: so before the run's first event file."""
    n = min(tokenizer.vocab_size, len(model.token_embedding.weight))
    labels = [tokenizer.piece(index) for index in range(n)]
    write_projector(run / "tensorboard", model.token_embedding.weight[:n], labels)


def overhead_percent(observing: float, training: float) -> float:
    """Seconds of looking per 100 seconds of training steps, since the start or the resume."""
    return 100 * observing / training if training > 0 else math.nan


def token_counts(batches: Sequence[Batch], vocab_size: int) -> np.ndarray:
    """(V,) how often each id is a target in some batches: ends of documents too, as in the loss."""
    ids = torch.cat([batch.targets[batch.targets != NO_TARGET] for batch in batches])
    return torch.bincount(ids, minlength=vocab_size).numpy()
