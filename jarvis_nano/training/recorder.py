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
from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.progress import TrainingDisplay
from jarvis_nano.tokenizer import Tokenizer

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
    """Loss, entropy, log Z and hits, summed over the tokens; on the device, where reading them costs a wait."""
    n_tokens: int
    gradient_norm: Tensor
    """Before clipping."""
    rate: float
    """Share of the peak learning rate."""
    stop: bool
    """Some process was asked to stop."""


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
        observe: bool = True,
        prompts: Sequence[Sequence[int]] = (),
    ) -> None:
        """prompts: ids that the text samples continue; peak_flops: of all processes together, for the utilisation."""
        self.metrics, self.display, self.config, self.model, self.tokenizer = metrics, display, config, model, tokenizer
        self.peak_flops, self.observe, self.prompts = peak_flops, observe, prompts
        self.pending: list[StepTotals] = []
        self.seconds = 0.0

    def step(self, step: int, totals: StepTotals, started: float) -> None:
        """After each step, which began when time.perf_counter() was `started`. Waits for a GPU only where it must."""
        config = self.config
        self.pending.append(totals)
        is_due = step % config.log_every == 0 or step == config.steps
        # What a GPU still has to do for these steps belongs to their seconds, not to the line's or the pause's.
        pauses = (config.eval_every, config.save_every, config.sample_every)
        if totals.sums.is_cuda and (is_due or any(step % every == 0 for every in pauses)):
            torch.cuda.synchronize(totals.sums.device)
        self.seconds += time.perf_counter() - started
        if is_due:
            self._write(step)

    def _write(self, step: int) -> None:
        tokens = sum(totals.n_tokens for totals in self.pending)
        loss, entropy, log_z, hits = (torch.stack([t.sums for t in self.pending]).sum(0) / tokens).tolist()
        norms = torch.stack([totals.gradient_norm for totals in self.pending]).tolist()
        per_second = tokens / self.seconds
        utilisation = per_second * self.model.config.flops_per_token / self.peak_flops
        weights = torch._foreach_norm([parameter.detach() for parameter in self.model.parameters()])
        limit = self.config.max_grad_norm or math.inf
        self.metrics.scalars(
            step,
            {
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
            },
        )
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

    def require_finite(self, step: int) -> None:
        """Before a checkpoint: Diverged where a step or a weight is not finite: no broken model replaces a good one."""
        if self.pending:
            self._write(step)
        weights = torch._foreach_norm([parameter.detach() for parameter in self.model.parameters()])
        if not torch.stack(weights).isfinite().all():
            raise Diverged(f"weights after step {step} are not finite numbers; {ADVICE}")

    def validation(self, step: int, result: HeldOut, bits_per_byte: float | None, model: Transformer) -> None:
        """A validation's figures, and the weights as histograms."""
        values = {"eval/loss": result.loss, "eval/perplexity": result.perplexity, "eval/accuracy": result.accuracy}
        text = f"step {step}: held-out loss {result.loss:.3f}, perplexity {result.perplexity:.1f}"
        if bits_per_byte is not None:
            values["eval/bits_per_byte"] = bits_per_byte
            text += f", {bits_per_byte:.3f} bits per byte"
        self.metrics.scalars(step, values)
        self.display.note(text)
        if self.observe:
            self.metrics.histograms(step, {f"weights/{name}": p.detach() for name, p in model.named_parameters()})

    def samples(self, step: int, model: Transformer) -> None:
        """Continue each prompt, and keep what comes."""
        if not self.observe:
            return
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
