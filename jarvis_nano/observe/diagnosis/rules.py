"""The rules of the diagnosis: one row each in RULES, at the end; what they say stands in texts.py.

A rule looks at the history each time that one of its measurements comes in, and gives its evidence while its
condition holds. Thresholds are set so that healthy runs stay silent, measured on small Transformers from 50 steps up.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jarvis_nano.observe.diagnosis.finding import Evidence, Severity
from jarvis_nano.observe.diagnosis.history import History, blocks, top

SPIKE_SCORE = 6.0  # OLMo-core's SkipStepOptimizer leaves out a step beyond 6 σ of the last 128
SPIKE_MEMORY = 128
GRADIENT_SPIKES = 3  # gradient norms have a heavy tail: one spike of theirs is no news
CLIP_RATE = 0.4
CLIP_STEPS = 200
CLIP_LENGTH = 2.0  # mean gradient norm over the limit; healthy small models with every step clipped had 1.0 to 1.3
RISE = 0.5  # nats above the best level; the mean of a stretch moves by less than 0.2 in healthy runs
# ‖ΔW‖/‖W‖: about 1e-3 in long runs. Early in short healthy ones AdamW reached 0.011 and Muon 0.05; at 30 times the
# rate 0.13 and more.
HIGH_RATIO = {"adamw": 0.03, "muon": 0.3}
HIGH_STEPS = 10
GROWTH = 10.0  # of the weights' norm in the first steps; 1.0 to 2.4 when healthy, 15 at 30 times Muon's rate
GROWTH_STEPS = 100
LOW_RATIO = 1e-5
STILL = 0.02  # nats between the two halves of a stretch: no more than a batch's luck
NO_WARMUP_STEPS = 5
EARLY_STEPS = 50
JUMP = 0.3  # nats above an even guess: no honest start is worse than chance by so much
FROZEN_SHARE = 1e-3  # of the neighbouring blocks' gradient; healthy neighbours are within a factor of 10
DEAD_SHARE = 0.5  # healthy ReLU² models reach 0.1 to 0.3 on a probe batch
MAX_LOGIT = 100.0  # where QK-clip (Kimi K2) steps in
GROWING_LOGIT = 50.0  # … or half of it, when it doubled within three probes
COLLAPSED_ENTROPY = 0.1  # nats: 98 % of the attention lies on one token
USEFUL_MASS = 0.5  # a head with so much on the previous, same or copied token is sharp for a reason
COLLAPSED_HEADS = 0.5  # share of all heads
LOG_Z = 64.0  # bfloat16 has 8 bits: above 64 its steps are half a nat
LOG_Z_GROWTH = 8.0
OUTLIER_KURTOSIS = 0.5  # of the model's width, which is what one channel that carries everything reaches
EVAL_RISE = 0.05  # nats above the best validation
GAP = 0.5  # nats between validation and training
GAP_GROWTH = 0.1
VANISHED = 1e-2  # gradient norm of the first block over the last one's
SLOW = 0.5
OVERCONFIDENCE = 0.5  # nats of loss above the stated entropy; a calibrated model has about 0
CHANCE = 0.1  # nats around ln(vocabulary)
UNIGRAM = 0.05  # nats around the loss of token frequencies alone
PLATEAU_STEPS = 50  # at least: healthy short runs pass the level of frequencies in 20 to 50 steps


@dataclass(frozen=True)
class Seen:
    """A rule's condition holds, since a step."""

    since: int
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Rule:
    name: str
    severity: Severity
    needs: tuple[str, ...]
    """The curves and families whose arrival makes it look."""
    look: Callable[[History], Seen | None]
    source: str


def _not_finite(run: History) -> Seen | None:
    for tag in ("train/loss", "train/grad_norm", "eval/loss"):
        broken = run.stretch(tag, lambda value: not math.isfinite(value))
        if broken.n_points:
            since = next(step for step, value in run.raw(tag)[-broken.n_points :] if not math.isfinite(value))
            return Seen(since, (Evidence(tag, math.nan, math.nan, broken.steps),))
    return None


def _loss_spike(run: History) -> Seen | None:
    score = run.last("train/loss_spike")
    if score is None or not score > SPIKE_SCORE or run.step < SPIKE_MEMORY:
        return None
    return Seen(run.step, (Evidence("train/loss_spike", score, SPIKE_SCORE, 1),))


def _gradient_spikes(run: History) -> Seen | None:
    since = max(SPIKE_MEMORY, run.step - run.patience)
    # A gradient that varies little has spikes that even clipping lets through: they do no harm.
    longest = dict(run.points("train/grad_norm_max", since=since))
    spikes = [
        (step, score)
        for step, score in run.points("train/grad_spike", since=since)
        if score > SPIKE_SCORE and longest.get(step, math.inf) > run.train.max_grad_norm
    ]
    if len(spikes) < GRADIENT_SPIKES:
        return None
    worst, first = max(score for _, score in spikes), spikes[0][0]
    return Seen(first, (Evidence("train/grad_spike", worst, SPIKE_SCORE, run.step - first),))


def _clipping(run: History) -> Seen | None:
    clipped = run.stretch("train/clip_rate", lambda share: share > CLIP_RATE)
    begin = max(clipped.begin, run.warmup_steps)  # random weights have large gradients: that is what warm-up is for
    if clipped.end - begin < CLIP_STEPS:
        return None
    evidence = [Evidence("train/clip_rate", run.last("train/clip_rate"), CLIP_RATE, clipped.end - begin)]
    # Small healthy models can stay a little above the limit for ever: AdamW does not feel a constant factor.
    norm, limit = run.mean("train/grad_norm", CLIP_STEPS), CLIP_LENGTH * run.train.max_grad_norm
    if norm is not None:
        if norm < limit:
            return None
        evidence.append(Evidence("train/grad_norm", norm, limit, CLIP_STEPS))
    return Seen(begin, tuple(evidence))


def _diverging(run: History) -> Seen | None:
    now, best = run.mean("train/loss", run.patience), run.lowest_mean("train/loss", run.patience)
    if now is None or best is None or now <= best + RISE or run.step <= run.warmup_steps:
        return None
    high = run.stretch("train/loss", lambda loss: loss > best + RISE)
    return Seen(high.begin, (Evidence("train/loss", now, best + RISE, high.steps),
                             Evidence("train/loss", best, best, 0)))  # fmt: skip


def _rate_too_high(run: History) -> Seen | None:
    limit = HIGH_RATIO[run.train.optimizer]
    large = run.stretch("layers/update_ratio", lambda family: _middle(family) > limit)
    if large.n_points >= 2 and large.steps >= HIGH_STEPS:
        ratio = _middle(run.last("layers/update_ratio"))
        return Seen(large.begin, (Evidence("layers/update_ratio", ratio, limit, large.steps),))
    # Muon's ratio settles by itself, for the weights grow as fast as the steps are large: that shows here.
    norms = run.points("train/weight_norm")
    if norms and run.step <= GROWTH_STEPS:
        size, limit = norms[-1][1], GROWTH * run.initial_weight_norm
        if size > limit and size > 1.5 * norms[0][1]:  # a model that is tuned starts large
            return Seen(norms[0][0], (Evidence("train/weight_norm", size, limit, run.step),))
    return None


def _no_warmup(run: History) -> Seen | None:
    """Right after a start at full rate the loss is worse than an even guess, or the steps are far too large."""
    if run.warmup_steps >= NO_WARMUP_STEPS or run.step > EARLY_STEPS:
        return None
    loss, limit = run.last("train/loss"), math.log(run.model.vocab_size) + JUMP
    if loss is not None and loss > limit:
        return Seen(run.step, (Evidence("train/loss", loss, limit, run.step),))
    ratio, limit = _middle(run.last("layers/update_ratio") or {}), HIGH_RATIO[run.train.optimizer]
    if run.step >= NO_WARMUP_STEPS and ratio > limit:  # Adam's very first steps are large and harmless
        return Seen(run.step, (Evidence("layers/update_ratio", ratio, limit, run.step),))
    return None


def _rate_too_low(run: History) -> Seen | None:
    small = run.stretch("layers/update_ratio", lambda family: 0 < _middle(family) < LOW_RATIO)
    begin, half = max(small.begin, run.warmup_steps), run.patience // 2
    if small.end - begin < run.patience or run.rate_share < 0.5:
        return None
    now, before = (run.mean("train/loss", half, back=back, least=2) for back in (0, half))
    if now is None or before is None or now < before - STILL:
        return None
    ratio = _middle(run.last("layers/update_ratio"))
    return Seen(begin, (Evidence("layers/update_ratio", ratio, LOW_RATIO, small.end - begin),))


def _frozen_layer(run: History) -> Seen | None:
    for name in ("layers/grad_norm", "layers/update_ratio"):
        still = run.stretch(name, lambda family: bool(_frozen(family)))
        if still.n_points >= 3:
            family = run.last(name)
            member = _frozen(family)[0]
            others = statistics.median(value for other, value in family.items() if other != member)
            evidence = Evidence(f"{name}/{member}", family[member], FROZEN_SHARE * others, still.steps)
            return Seen(still.begin, (evidence,))
    return None


def _frozen(family: Mapping[str, float]) -> list[str]:
    """Members that are still while the others move: exactly zero, or far below each neighbouring block."""
    if sum(value > 0 for value in family.values()) < 2:
        return []  # nothing moves: the rate is zero, which is another matter
    zeros = [member for member, value in family.items() if value == 0]
    names, values = sorted(member for member in family if member.isdigit()), blocks(family)
    for i, name in enumerate(names):
        neighbours = [values[j] for j in (i - 1, i + 1) if 0 <= j < len(values)]
        if neighbours and 0 < values[i] < FROZEN_SHARE * min(neighbours):
            zeros.append(name)
    return zeros


def _dead_neurons(run: History) -> Seen | None:
    name = run.either("layers/dead_neurons", "probe/dead_neurons")
    dead = run.stretch(name, lambda value: top(value) > DEAD_SHARE)
    if dead.n_points < 2:
        return None
    return Seen(dead.begin, (_worst(run, name, DEAD_SHARE, dead.steps),))


def _attention_logits(run: History) -> Seen | None:
    name = run.either("heads/max_logit", "probe/max_logit")
    high = run.stretch(name, lambda value: top(value) > MAX_LOGIT)
    if high.n_points >= 2:
        return Seen(high.begin, (_worst(run, name, MAX_LOGIT, high.steps),))
    recent = [(step, top(value)) for step, value in run.points(name)[-4:]]
    rises = len(recent) == 4 and all(a[1] < b[1] for a, b in pairwise(recent))
    if rises and recent[-1][1] > max(GROWING_LOGIT, 2 * recent[0][1]):
        return Seen(recent[0][0], (_worst(run, name, GROWING_LOGIT, recent[-1][0] - recent[0][0]),))
    return None


def _attention_collapse(run: History) -> Seen | None:
    useful = [run.last(f"heads/{pattern}") or {} for pattern in ("previous_token", "duplicate", "induction")]

    def collapsed(entropies: Mapping[str, float]) -> float:
        lost = [head for head, entropy in entropies.items() if entropy < COLLAPSED_ENTROPY
                and not any(mass.get(head, 0.0) > USEFUL_MASS for mass in useful)]  # fmt: skip
        return len(lost) / len(entropies)

    sharp = run.stretch("heads/attention_entropy", lambda entropies: collapsed(entropies) >= COLLAPSED_HEADS)
    if sharp.n_points < 3:
        return None
    share = collapsed(run.last("heads/attention_entropy"))
    lowest = min(run.last("heads/attention_entropy").values())
    return Seen(sharp.begin, (Evidence("heads/collapsed_share", share, COLLAPSED_HEADS, sharp.steps),
                              Evidence("heads/attention_entropy", lowest, COLLAPSED_ENTROPY, sharp.steps)))  # fmt: skip


def _log_z_drift(run: History) -> Seen | None:
    now, before = run.mean("train/log_z", run.patience), run.mean("train/log_z", run.patience, back=run.patience)
    if now is None or before is None or abs(now) < LOG_Z or abs(now) - abs(before) < LOG_Z_GROWTH:
        return None
    far = run.stretch("train/log_z", lambda value: abs(value) > LOG_Z)
    return Seen(far.begin, (Evidence("train/log_z", now, LOG_Z, far.steps),))


def _outliers(run: History) -> Seen | None:
    name, limit = run.either("layers/kurtosis", "probe/kurtosis_max"), OUTLIER_KURTOSIS * run.model.d_model
    peaked = run.stretch(name, lambda value: top(value) > limit)
    if peaked.n_points < 3:
        return None
    return Seen(peaked.begin, (_worst(run, name, limit, peaked.steps),))


def _overfitting(run: History) -> Seen | None:
    points, train = run.points("eval/loss"), run.mean("train/loss", run.patience, least=1)
    if len(points) < 3 or train is None:
        return None
    best_step, best = min(points, key=lambda point: point[1])
    (_, before), (step, now) = points[-2:]
    then = run.mean_at("train/loss", best_step)
    if min(now, before) > best + EVAL_RISE and now - train > EVAL_RISE and (then is None or train < then):
        return Seen(best_step, (Evidence("eval/loss", now, best + EVAL_RISE, step - best_step),
                                Evidence("train/loss", train, best, step - best_step)))  # fmt: skip
    gaps = [(at, loss - nearby) for at, loss in points[-3:] if (nearby := run.mean_at("train/loss", at)) is not None]
    grows = len(gaps) == 3 and gaps[0][1] + GAP_GROWTH < gaps[1][1] and gaps[1][1] + GAP_GROWTH < gaps[2][1]
    if grows and gaps[2][1] > GAP:
        return Seen(gaps[0][0], (Evidence("eval/loss", now, train + GAP, step - gaps[0][0]),
                                 Evidence("train/loss", train, now - GAP, step - gaps[0][0])))  # fmt: skip
    return None


def _vanishing_gradient(run: History) -> Seen | None:
    fading = run.stretch("layers/grad_norm", _fades)
    if fading.n_points < 3:
        return None
    family = run.last("layers/grad_norm")
    first, last = min(m for m in family if m.isdigit()), blocks(family)[-1]
    evidence = Evidence(f"layers/grad_norm/{first}", family[first], VANISHED * last, fading.steps)
    return Seen(fading.begin, (evidence,))


def _fades(family: Mapping[str, float]) -> bool:
    norms = blocks(family)
    steady = all(0 < lower <= upper for lower, upper in pairwise(norms))
    return len(norms) >= 3 and steady and norms[0] < VANISHED * norms[-1]


def _slow(run: History) -> Seen | None:
    speeds = [speed for _, speed in run.points("train/tokens_per_second")]
    if len(speeds) < 15:
        return None
    usual = statistics.median(speeds)
    slow = run.stretch("train/tokens_per_second", lambda speed: speed < SLOW * usual)
    if slow.n_points < 5 or slow.steps < run.patience:
        return None
    return Seen(slow.begin, (Evidence("train/tokens_per_second", speeds[-1], SLOW * usual, slow.steps),
                             Evidence("train/tokens_per_second", usual, usual, 0)))  # fmt: skip


def _overconfident(run: History) -> Seen | None:
    entropy, loss = (run.mean(tag, run.patience) for tag in ("train/entropy", "train/loss"))
    if entropy is None or loss is None or not run.is_settled or loss - entropy < OVERCONFIDENCE:
        return None
    begin = run.step - run.patience
    return Seen(begin, (Evidence("train/entropy", entropy, loss - OVERCONFIDENCE, run.patience),
                        Evidence("train/loss", loss, loss, run.patience)))  # fmt: skip


def _nothing_learnt(run: History) -> Seen | None:
    return _plateau(run, math.log(run.model.vocab_size), CHANCE)


def _unigram_plateau(run: History) -> Seen | None:
    level = run.last("train/unigram_loss")
    return None if level is None else _plateau(run, level, UNIGRAM)


def _plateau(run: History, level: float, width: float) -> Seen | None:
    """The loss stays around a level that a model passes in its first steps, and falls no more."""
    flat = run.stretch("train/loss", lambda loss: abs(loss - level) < 3 * width)
    begin, mean = max(flat.begin, run.warmup_steps), run.mean("train/loss", run.patience)
    steps = flat.end - begin
    if steps < max(run.patience, PLATEAU_STEPS) or mean is None or abs(mean - level) > width:
        return None
    # Who passes slowly falls by more than `width` from one half of the stretch to the other.
    now, before = (run.mean("train/loss", steps // 2, back=back) for back in (0, steps // 2))
    if now is None or before is None or now < before - STILL:
        return None
    return Seen(begin, (Evidence("train/loss", mean, level, steps),))


def _middle(family: Mapping[str, float]) -> float:
    """The median over the blocks; 0 where none is finite."""
    finite = [value for value in blocks(family) if math.isfinite(value)]
    return statistics.median(finite) if finite else 0.0


def _worst(run: History, name: str, threshold: float, steps: int) -> Evidence:
    """Evidence for the member with the largest number, or for the curve itself."""
    value: Any = run.last(name)
    tag = f"{name}/{max(value, key=lambda member: top(value[member]))}" if isinstance(value, dict) else name
    return Evidence(tag, top(value), threshold, steps)


PRACTICE = "usage courant / known practice"

RULES: tuple[Rule, ...] = (
    Rule("not_finite", "alarm", ("train/loss", "train/grad_norm", "eval/loss"), _not_finite, PRACTICE),
    Rule("diverging", "alarm", ("train/loss",), _diverging, "Wortsman et al. 2023, arXiv:2309.14322"),
    Rule("rate_too_high", "alarm", ("layers/update_ratio", "train/weight_norm"), _rate_too_high,
         "Wortsman et al. 2023, arXiv:2309.14322"),
    Rule("no_warmup", "alarm", ("train/loss", "layers/update_ratio"), _no_warmup,
         "Kalra & Barkeshli 2024, arXiv:2406.09405"),
    Rule("frozen_layer", "alarm", ("layers/grad_norm", "layers/update_ratio"), _frozen_layer, PRACTICE),
    Rule("attention_logits", "alarm", ("probe/max_logit", "heads/max_logit"), _attention_logits,
         "Dehghani et al. 2023, arXiv:2302.05442; Kimi K2 2025, arXiv:2507.20534"),
    Rule("attention_collapse", "alarm", ("heads/attention_entropy",), _attention_collapse,
         "Zhai et al. 2023, arXiv:2303.06296"),
    Rule("dead_neurons", "alarm", ("probe/dead_neurons", "layers/dead_neurons"), _dead_neurons,
         "Lu et al. 2019, arXiv:1903.06733"),
    Rule("nothing_learnt", "alarm", ("train/loss",), _nothing_learnt, PRACTICE),
    Rule("overfitting", "warning", ("eval/loss",), _overfitting,
         "Prechelt 1998, Early stopping; Hernandez et al. 2022, arXiv:2205.10487"),
    Rule("unigram_plateau", "warning", ("train/loss",), _unigram_plateau, PRACTICE),
    Rule("clipping", "warning", ("train/clip_rate",), _clipping, "Pascanu et al. 2013, arXiv:1211.5063"),
    Rule("loss_spike", "warning", ("train/loss_spike",), _loss_spike, "OLMo 2 2025, arXiv:2501.00656"),
    Rule("gradient_spikes", "warning", ("train/grad_spike",), _gradient_spikes, "OLMo 2 2025, arXiv:2501.00656"),
    Rule("rate_too_low", "warning", ("layers/update_ratio",), _rate_too_low, PRACTICE),
    Rule("vanishing_gradient", "warning", ("layers/grad_norm",), _vanishing_gradient, "Glorot & Bengio 2010, AISTATS"),
    Rule("overconfident", "warning", ("train/entropy",), _overconfident, "Guo et al. 2017, arXiv:1706.04599"),
    Rule("log_z_drift", "warning", ("train/log_z",), _log_z_drift, "PaLM 2022, arXiv:2204.02311, 5"),
    Rule("outliers", "info", ("probe/kurtosis_max", "layers/kurtosis"), _outliers, "He et al. 2024, arXiv:2405.19279"),
    Rule("slow", "info", ("train/tokens_per_second",), _slow, PRACTICE),
)  # fmt: skip
