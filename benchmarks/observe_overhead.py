"""What observing a training costs, in percent of its time: the mini preset on this machine.

    python benchmarks/observe_overhead.py [--segments 20] [--steps 2] [--preset mini]

Two trainings of the same model take turns, segment by segment, one with --observe on and one with off; in a segment
"on" writes one line of metrics, more often than by default, so the figure is an upper bound of what the steps' own
by-products cost. What is done every so many steps (probes, validations' looks, samples, spectra) is timed apart, and
divided by the time of so many steps. Printed with 95 % intervals: of medians, by resampling.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from jarvis_nano.config import PRESETS
from jarvis_nano.data.batches import EvaluationWindows, TokenBatches
from jarvis_nano.data.shards import Shards
from jarvis_nano.evaluation.perplexity import evaluate
from jarvis_nano.kernels.backends import instruction_set
from jarvis_nano.model import Transformer
from jarvis_nano.observe.categories import frequency_deciles
from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.microscope import choose_passages
from jarvis_nano.observe.progress import TrainingDisplay
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.training.allocator import keep_freed_memory
from jarvis_nano.training.checkpoint import commit
from jarvis_nano.training.distributed import World
from jarvis_nano.training.loop import Trainer, Validation
from jarvis_nano.training.observation import Observation, ObserveConfig, token_counts
from jarvis_nano.training.prepare import prepare
from jarvis_nano.training.recorder import Recorder

LOOKS = 20  # how often each look is timed
DRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2, help="in a segment")
    parser.add_argument("--preset", choices=PRESETS, default="mini")
    parser.add_argument("--looks", type=int, default=LOOKS)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    asked = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(asked.preset, asked.segments, asked.steps, asked.looks, Path(folder))
    print(json.dumps(figures, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(preset: str, n_segments: int, n_steps: int, n_looks: int, folder: Path) -> dict[str, object]:
    """Percent of the training's time, part by part and together."""
    chosen = PRESETS[preset]
    default = chosen.train
    train = dataclasses.replace(default, log_every=n_steps, probe_every=10**9, steps=10**9)
    prepared = prepare((), "", chosen.model.vocab_size)
    tokenizer = Tokenizer.load(prepared.tokenizer)
    model_config = dataclasses.replace(chosen.model, vocab_size=tokenizer.vocab_size)
    shards = [Shards.open(Path(prepared.shards), split, tokenizer_hash=tokenizer.hash) for split in ("train", "val")]
    batches = TokenBatches(shards[0], batch_size=train.batch_size, context=model_config.context, seed=0)
    windows = EvaluationWindows(shards[1], batch_size=train.batch_size, context=model_config.context)
    sample = [batches.batch(step) for step in range(20)]
    counts = token_counts(sample, tokenizer.vocab_size)
    deciles = torch.from_numpy(frequency_deciles(counts))
    sides = {}
    for name in ("off", "on"):
        run = folder / name
        torch.manual_seed(0)
        model = Transformer(model_config)
        world, split = World(0, 1, torch.device("cpu")), deciles if name == "on" else None
        trainer = Trainer(run, model, train, batches, Validation((), 0), world, deciles=split)
        model.train()
        metrics, display = Metrics(run), TrainingDisplay(10**9)
        observation = None
        if name == "on":
            observation = Observation(
                run, metrics, display, train, model, tokenizer,
                settings=ObserveConfig(), start_step=0, counts=counts, rows=batches.batch(0),
                passages=choose_passages(shards[1], length=96),
            )  # fmt: skip
        prompts = [[tokenizer.special_id("</s>"), *tokenizer.encode_list(text)] for text in default.sample_prompts]
        sides[name] = trainer, Recorder(
            metrics, display, train, model, tokenizer, peak_flops=1e12, observation=observation, prompts=prompts
        )

    def segment(name: str) -> float:
        trainer, recorder = sides[name]
        began = time.perf_counter()
        for _ in range(n_steps):
            started = time.perf_counter()
            totals = trainer._step(False)
            trainer.step += 1
            recorder.step(trainer.step, totals, started)
        return time.perf_counter() - began

    for name in sides:
        segment(name)
    seconds = {name: [] for name in sides}
    for turn in range(n_segments):
        for name in ("off", "on") if turn % 2 else ("on", "off"):
            seconds[name].append(segment(name))
        print(f"segment {turn + 1}: off {seconds['off'][-1]:.3f} s, on {seconds['on'][-1]:.3f} s", flush=True)
    always = [100 * (on / off - 1) for on, off in zip(seconds["on"], seconds["off"], strict=True)]
    step = statistics.median(seconds["off"]) / n_steps

    trainer, recorder = sides["on"]
    model, observation = trainer.model, recorder.observation
    assert observation is not None
    held_out = windows[: default.eval_batches]
    result = evaluate(model, held_out, by_id=True)
    weights = {f"weights/{name}": p.detach() for name, p in model.named_parameters()}
    looks: dict[str, tuple[Callable[[int], object], int]] = {
        "probe": (observation.probe, default.probe_every),
        "validation's looks": (lambda n: observation.validated(n, result.by_id, last=False), default.eval_every),
        "histograms": (lambda n: recorder.metrics.histograms(n, weights), default.eval_every),
        "text samples": (lambda n: recorder.samples(n, model), default.sample_every),
        "spectra, projector": (observation.saved, default.save_every),
    }
    parts = {"steps and lines": interval(always)}
    for name, (look, every) in looks.items():
        taken = []
        for n in range(max(3, n_looks)):
            began = time.perf_counter()
            look(10**6 + n)
            taken.append(100 * (time.perf_counter() - began) / (every * step))
        parts[name] = interval(taken)
        print(f"{name}: {parts[name]}", flush=True)
    observation.close()
    return {
        "preset": preset,
        "seconds_a_step": round(step, 3),
        "segments": n_segments,
        "percent": {name: part[0] for name, part in parts.items()},
        "percent_95": {name: part[1:] for name, part in parts.items()},
        "overhead_percent": round(sum(part[0] for part in parts.values()), 2),
        "overhead_percent_upper_95": round(sum(part[2] for part in parts.values()), 2),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "instructions": instruction_set(),
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
    }


def interval(values: list[float]) -> tuple[float, float, float]:
    """The median, and where 95 % of the medians of resampled values lie."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(DRAWS))
    return tuple(round(v, 3) for v in (statistics.median(values), medians[DRAWS // 40], medians[-DRAWS // 40]))


if __name__ == "__main__":
    main()
