"""What rank 0 keeps and shows of a training: metrics.jsonl, TensorBoard, the progress display, text samples."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jarvis_nano.chat import stop_ids
from jarvis_nano.config import TrainConfig
from jarvis_nano.evaluation.perplexity import HeldOut
from jarvis_nano.generation import generate
from jarvis_nano.model import Transformer
from jarvis_nano.observe import signals
from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.progress import TrainingDisplay
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.training.objective import FIGURES, position_buckets, split_sums
from jarvis_nano.training.observation import Observation, overhead_percent
from jarvis_nano.training.optimizer import Norms

SAMPLE_TOKENS = 120
ADVICE = (
    "the last checkpoint is untouched. Try half the learning rate or a longer warm-up, and look at train/grad_norm "
    "before the break"
)


class Diverged(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class StepTotals:
    """What one step measured, over all processes."""

    sums: Tensor
    """Loss, entropy, log Z and hits, summed over the tokens, and what objective.split_sums takes; on the device, where
    reading them costs a wait."""
    n_tokens: int
    gradient_norm: Tensor
    """Before clipping."""
    rate: float
    """Share of the peak learning rate."""
    stop: bool
    """Some process was asked to stop."""
    norms: Norms | None = None
    """By parameter, where this step was measured."""
    small_gradient: Tensor | None = None
    """(2,): ‖g‖² of the mean gradient over a part of the step's tokens, the mean over the parts; and how many tokens
    each has, the harmonic mean."""


def line_is_due(step: int, config: TrainConfig) -> bool:
    """Whether a line of metrics is written after this step."""
    return step % config.log_every == 0 or step == config.steps


class Recorder:
    """Collects steps, and every `log_every` of them writes one line of metrics."""

    def __init__(
        self,
        metrics: Metrics,
        display: TrainingDisplay,
        config: TrainConfig,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        peak_flops: float,
        observation: Observation | None = None,
        prompts: Sequence[Sequence[int]] = (),
    ) -> None:
        """prompts: ids that the text samples continue; peak_flops: of all processes together, for the utilisation;
        observation: what else is looked at (None: --observe off)."""
        self.metrics, self.display, self.config, self.model, self.tokenizer = metrics, display, config, model, tokenizer
        self.peak_flops, self.observation, self.prompts = peak_flops, observation, prompts
        self.pending: list[StepTotals] = []
        self.seconds = self.all_seconds = 0.0
        self.loss_spikes, self.gradient_spikes = signals.Spikes(), signals.Spikes()
        self.noise_scale = signals.NoiseScale()
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}

    def untrained(self) -> None:
        """Before the first step: what curves and pages begin with."""
        if self.observation:
            self.observation.validated(0, None)

    def step(self, step: int, totals: StepTotals, started: float) -> None:
        """After each step, which began when time.perf_counter() was `started`. Waits for a GPU only where it must."""
        config = self.config
        self.pending.append(totals)
        is_due = line_is_due(step, config)
        # What a GPU still has to do for these steps belongs to their seconds, not to the line's or the pause's.
        pauses = (config.eval_every, config.save_every, config.sample_every, config.probe_every)
        if totals.sums.is_cuda and (is_due or any(step % every == 0 for every in pauses)):
            torch.cuda.synchronize(totals.sums.device)
        took = time.perf_counter() - started
        self.seconds += took
        self.all_seconds += took
        if is_due:
            self._write(step)
        if self.observation and step % config.probe_every == 0:
            self.observation.probe(step)

    def _write(self, step: int) -> None:
        tokens = sum(totals.n_tokens for totals in self.pending)
        by_step = torch.stack([t.sums for t in self.pending]).tolist()
        sums = [math.fsum(column) for column in zip(*by_step, strict=True)]
        loss, entropy, log_z, hits = (value / tokens for value in sums[: len(FIGURES)])
        norms = torch.stack([totals.gradient_norm for totals in self.pending]).tolist()
        per_second = tokens / self.seconds
        utilisation = per_second * self.model.config.flops_per_token / self.peak_flops
        weights = torch._foreach_norm([parameter.detach() for parameter in self.model.parameters()])
        limit = self.config.max_grad_norm or math.inf
        values = {
            "train/loss": loss,
            "train/perplexity": math.exp(min(loss, 100.0)),
            "train/learning_rate": self.pending[-1].rate * self.config.learning_rate,
            "train/grad_norm": norms[-1],
            "train/clip_rate": sum(norm > limit for norm in norms) / len(norms),
            "train/weight_norm": torch.stack(weights).norm().item(),
            "train/tokens_per_second": per_second,
            "train/flop_utilisation": utilisation,
            "train/entropy": entropy,
            "train/log_z": log_z,
            "train/accuracy": hits,
        }
        if self.observation:
            with self.observation.watch.running():
                losses = [row[0] / t.n_tokens for row, t in zip(by_step, self.pending, strict=True)]
                values |= self._signals(sums, losses, norms, limit)
        self._record(step, values)
        self.display.update(
            step,
            loss=loss,
            tokens_per_second=per_second,
            flop_utilisation=utilisation,
            learning_rate=self.pending[-1].rate * self.config.learning_rate,
        )
        self.pending, self.seconds = [], 0.0
        if not all(map(math.isfinite, (loss, *norms))):
            raise Diverged(f"the loss at step {step} is {loss}; {ADVICE}")

    def _signals(self, sums: list[float], losses: list[float], norms: list[float], limit: float) -> dict[str, float]:
        """What --observe on adds to a line: made from what the steps have anyway."""
        last = self.pending[-1]
        starts = position_buckets(self.model.config.context)
        by_position, by_decile = split_sums(sums, len(starts))
        found = signals.position_losses(starts, by_position) | signals.frequency_losses(by_decile)
        found["train/grad_norm_max"] = max(norms)
        found["train/memory_mb"] = signals.memory_mb(last.sums.device)
        assert self.observation is not None
        found["observe/overhead_percent"] = overhead_percent(self.observation.watch.seconds, self.all_seconds)
        for tag, spikes, new in (
            ("train/loss_spike", self.loss_spikes, losses),
            ("train/grad_spike", self.gradient_spikes, norms),
        ):
            score = spikes.score(new)
            if score is not None:
                found[tag] = score
        if last.norms:
            names = [self.names[parameter] for parameter in last.norms.parameters]
            found |= signals.norms_by_block(names, *last.norms[1:], total=norms[-1], max_norm=limit)
            for member in map(signals.block_of, self.names.values()):  # a frozen block has no gradient: say so
                for family in ("grad_norm", "clipped_grad_norm", "update_ratio"):
                    found.setdefault(f"layers/{family}/{member}", 0.0)
        if last.small_gradient is not None:
            small, tokens = last.small_gradient.tolist()
            scale = self.noise_scale.update(small, norms[-1] ** 2, tokens, last.n_tokens)
            if scale is not None:
                found["train/noise_scale"] = scale
        return found

    def _record(self, step: int, values: dict[str, float]) -> None:
        self.metrics.scalars(step, values)
        if self.observation:
            self.observation.row(step, values)

    def require_finite(self, step: int) -> None:
        """Before a checkpoint: Diverged where a step or a weight is not finite: no broken model replaces a good one."""
        if self.pending:
            self._write(step)
        self._require_finite_weights(step)

    def _require_finite_weights(self, step: int) -> None:
        weights = torch._foreach_norm([parameter.detach() for parameter in self.model.parameters()])
        if not torch.stack(weights).isfinite().all():
            raise Diverged(f"weights after step {step} are not finite numbers; {ADVICE}")

    def validation(self, step: int, result: HeldOut, bits_per_byte: float | None, model: Transformer) -> None:
        """A validation's figures, and the weights as histograms. Diverged where the loss is not finite."""
        values = {"eval/loss": result.loss, "eval/perplexity": result.perplexity, "eval/accuracy": result.accuracy}
        text = f"step {step}: held-out loss {result.loss:.3f}, perplexity {result.perplexity:.1f}"
        if bits_per_byte is not None:
            values["eval/bits_per_byte"] = bits_per_byte
            text += f", {bits_per_byte:.3f} bits per byte"
        self._record(step, values)
        self.display.note(text)
        if not math.isfinite(result.loss):
            raise Diverged(f"the held-out loss at step {step} is {result.loss}; {ADVICE}")
        if self.observation:
            with self.observation.watch.running():
                self.metrics.histograms(step, {f"weights/{name}": p.detach() for name, p in model.named_parameters()})
            assert result.by_id is not None
            self.observation.validated(step, result.by_id, last=step == self.config.steps)

    def saved(self, step: int) -> None:
        """After a checkpoint."""
        if self.observation:
            self.observation.saved(step)

    def samples(self, step: int, model: Transformer) -> None:
        """Continue each prompt, and keep what comes."""
        if not self.observation:
            return
        self._require_finite_weights(step)  # a broken model writes nothing
        with self.observation.watch.running():
            self._sample(step, model)

    def _sample(self, step: int, model: Transformer) -> None:
        texts = []
        for prompt in self.prompts:
            ids = generate(
                model,
                prompt,
                max_new_tokens=min(SAMPLE_TOKENS, model.config.context - len(prompt)),
                temperature=0.8,
                seed=step,
                stop=stop_ids(self.tokenizer),
            )
            texts.append(self.tokenizer.decode([*prompt, *ids], special=False))
        if texts:
            self.metrics.text(step, "samples/generated", "\n\n".join(texts))
            self.display.note(f"step {step} writes: " + " ".join(texts[-1].split())[:300])
