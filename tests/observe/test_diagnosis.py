"""Each rule speaks just above its threshold and is silent just below; a report and a live run agree."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import random
import re

import pytest

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.observe.diagnosis import Diagnosis, FindingsFile, diagnose, read_findings
from jarvis_nano.observe.diagnosis.finding import number
from jarvis_nano.observe.diagnosis.history import MAX_POINTS
from jarvis_nano.observe.diagnosis.rules import RULES
from jarvis_nano.observe.diagnosis.texts import TEXTS
from jarvis_nano.observe.metrics import Metrics, read_metrics

MODEL = ModelConfig(vocab_size=2048, n_layers=4, n_heads=2, d_model=64)
TRAIN = TrainConfig(steps=2000, warmup=0.05)  # 100 steps of warm-up, and what lasts 200 steps is lasting
CHANCE = math.log(2048)
BLOCKS = ("00", "01", "02", "03")


def rows(tags, *, first=10, last=600, every=10):
    """tags(step) -> {tag: number}, for each step of a run."""
    return [{"step": step, **tags(step)} for step in range(first, last + 1, every)]


def names(found):
    return {finding.rule for finding in found}


def family(name, *values, members=BLOCKS):
    return {f"{name}/{member}": value for member, value in zip(members, values, strict=False)}


def heads(name, *values):
    return family(f"heads/{name}", *values, members=("00.00", "00.01", "01.00", "01.01"))


def falling(step):
    """The loss of a healthy run."""
    return 2.0 + 4.0 * math.exp(-step / 100)


# rule -> (rows just beyond its threshold, rows just within it, configuration of the training if it matters)
CASES = {
    "not_finite": (
        rows(lambda s: {"train/loss": math.nan if s == 600 else falling(s)}),
        rows(lambda s: {"train/loss": falling(s)}),
    ),
    "loss_spike": (
        rows(lambda s: {"train/loss_spike": 6.1 if s == 300 else 0.0}),
        rows(lambda s: {"train/loss_spike": 5.9 if s == 300 else 0.0}),
    ),
    "gradient_spikes": (
        rows(lambda s: {"train/grad_spike": 6.1 if s in (300, 350, 400) else 0.0, "train/grad_norm_max": 1.1}),
        rows(lambda s: {"train/grad_spike": 60.0 if s in (300, 400) else 5.9}),
    ),
    "clipping": (
        rows(lambda s: {"train/clip_rate": 0.41 if 300 < s <= 500 else 0.1}),
        rows(lambda s: {"train/clip_rate": 0.41 if 300 < s <= 490 else 0.39}),
    ),
    "diverging": (
        rows(lambda s: {"train/loss": 3.0 if s < 300 else 3.6}),
        rows(lambda s: {"train/loss": 3.0 if s < 300 else 3.4}),
    ),
    "rate_too_high": (
        rows(lambda s: family("layers/update_ratio", *[0.031 if s in (40, 50) else 0.01] * 4)),
        rows(lambda s: family("layers/update_ratio", *[0.029] * 4)),
    ),
    "no_warmup": (
        rows(lambda s: {"train/loss": CHANCE + (0.31 if s == 10 else -3)}),
        rows(lambda s: {"train/loss": CHANCE + (0.29 if s == 10 else -3)}),
        dataclasses.replace(TRAIN, warmup=0.0),
    ),
    "rate_too_low": (
        rows(lambda s: family("layers/update_ratio", *[0.9e-5] * 4) | {"train/loss": 5.0}),
        rows(lambda s: family("layers/update_ratio", *[1.1e-5] * 4) | {"train/loss": 5.0}),
    ),
    "frozen_layer": (
        rows(lambda s: family("layers/grad_norm", 0.2, 0.0, 0.3, 0.2)),
        rows(lambda s: family("layers/grad_norm", 0.2, 0.001, 0.3, 0.2)),
    ),
    "dead_neurons": (
        rows(lambda s: family("layers/dead_neurons", 0.1, 0.51, 0.0, 0.0), every=100),
        rows(lambda s: family("layers/dead_neurons", 0.1, 0.49, 0.0, 0.0), every=100),
    ),
    "attention_logits": (
        rows(lambda s: heads("max_logit", 3, 101, 4, 5), every=100),
        rows(lambda s: heads("max_logit", 3, 99, 4, 5), every=100),
    ),
    "attention_collapse": (
        rows(lambda s: heads("attention_entropy", 0.09, 2.0, 0.09, 2.0), every=100),
        rows(lambda s: heads("attention_entropy", 0.09, 2.0, 0.11, 2.0), every=100),
    ),
    "log_z_drift": (
        rows(lambda s: {"train/log_z": s / 7}),
        rows(lambda s: {"train/log_z": min(63.0, s / 7)}),
    ),
    "outliers": (
        rows(lambda s: family("layers/kurtosis", 1, 33, 1, 1), every=100),
        rows(lambda s: family("layers/kurtosis", 1, 31, 1, 1), every=100),
    ),
    "overfitting": (
        rows(lambda s: {"train/loss": 3 - s / 500, "eval/loss": 3.0 if s < 400 else 3.06}, every=100),
        rows(lambda s: {"train/loss": 3 - s / 5000, "eval/loss": 3.0 if s < 400 else 3.04}, every=100),
    ),
    "vanishing_gradient": (
        rows(lambda s: family("layers/grad_norm", 0.0009, 0.004, 0.02, 0.1)),
        rows(lambda s: family("layers/grad_norm", 0.0011, 0.004, 0.02, 0.1)),
    ),
    "slow": (
        rows(lambda s: {"train/tokens_per_second": 1000 if s < 380 else 490}),
        rows(lambda s: {"train/tokens_per_second": 1000 if s < 380 else 510}),
    ),
    "overconfident": (
        rows(lambda s: {"train/loss": 3.0, "train/entropy": 2.49}),
        rows(lambda s: {"train/loss": 3.0, "train/entropy": 2.51}),
    ),
    "nothing_learnt": (
        rows(lambda s: {"train/loss": CHANCE - 0.09}),
        rows(lambda s: {"train/loss": CHANCE - 0.11}),
    ),
    "unigram_plateau": (
        rows(lambda s: {"train/loss": 5.04, "train/unigram_loss": 5.0}),
        rows(lambda s: {"train/loss": 4.94, "train/unigram_loss": 5.0}),
    ),
}


@pytest.mark.parametrize("steps", [200, 1000, 5000])
@pytest.mark.parametrize("slope", [0.01, 0.003, 0.001])
def test_a_loss_that_falls_past_a_plateau_is_none(steps, slope):
    """A short run, or one with a low rate, passes the level of frequencies slowly."""
    rng = random.Random(steps)
    passing = rows(
        lambda s: {"train/loss": 5.3 - slope * s + rng.gauss(0, 0.02), "train/unigram_loss": 5.0}, last=steps
    )
    assert diagnose(passing, TrainConfig(steps=steps, warmup=0.02), MODEL) == []


def test_a_long_run_keeps_no_more_than_is_looked_at():
    long = TrainConfig(steps=200_000, warmup=0.0)
    diagnosis = Diagnosis(long, MODEL)
    every = rows(lambda s: {"train/clip_rate": 0.5, "train/grad_norm": 3.0, "layers/grad_norm/00": 1.0}, last=30_000)
    for row in every:
        diagnosis.feed(row["step"], row)
        assert len(diagnosis.history.raw("train/clip_rate")) <= 2 * MAX_POINTS
        assert len(diagnosis.history.raw("layers/grad_norm")) <= 2 * MAX_POINTS
        if row["step"] > 10 * MAX_POINTS:
            assert diagnosis.history.stretch("train/clip_rate", lambda share: share > 0.4).steps == 10 * MAX_POINTS
    assert [(f.rule, f.last_step) for f in diagnosis.findings] == [("clipping", 30_000)]


@pytest.mark.parametrize("steps", [100, 2000])
def test_a_noisy_plateau_is_one(steps):
    rng = random.Random(steps)
    flat = rows(lambda s: {"train/loss": 5.0 + rng.gauss(0, 0.03), "train/unigram_loss": 5.0}, last=steps, every=5)
    assert names(diagnose(flat, TrainConfig(steps=steps, warmup=0.02), MODEL)) == {"unigram_plateau"}


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_a_rule_speaks_above_its_threshold_alone(rule):
    above, below, *config = CASES[rule]
    train = config[0] if config else TRAIN
    assert rule in names(diagnose(above, train, MODEL))
    assert diagnose(below, train, MODEL) == []


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("not_finite", rows(lambda s: {"eval/loss": math.inf}, every=200)),
        ("no_warmup", rows(lambda s: family("layers/update_ratio", *[0.031] * 4), last=10)),
        ("attention_logits", rows(lambda s: {"probe/max_logit": 101.0}, every=100)),
        ("attention_logits", rows(lambda s: heads("max_logit", 1, s / 8, 2, 2), every=100, first=100, last=500)),
        ("dead_neurons", rows(lambda s: {"probe/dead_neurons": 0.6}, every=100)),
        ("frozen_layer", rows(lambda s: family("layers/grad_norm", 0.2, 0.00019, 0.3, 0.2))),
        ("frozen_layer", rows(lambda s: family("layers/update_ratio", 1e-3, 1e-3, 0.0, 1e-3))),
        ("overfitting", rows(lambda s: {"train/loss": 3 - s / 300, "eval/loss": 3.0}, every=100)),
        ("clipping", rows(lambda s: {"train/clip_rate": 0.5, "train/grad_norm": 2.1})),
        ("rate_too_high", rows(lambda s: {"train/weight_norm": 22.0 * s}, last=40)),
    ],
)
def test_a_rule_speaks_on_its_other_signs_too(rule, given):
    train = dataclasses.replace(TRAIN, warmup=0.0) if rule == "no_warmup" else TRAIN
    assert names(diagnose(given, train, MODEL)) == {rule}


@pytest.mark.parametrize(
    "given",
    [
        # Heads that look at the previous token are sharp for a reason.
        rows(lambda s: heads("attention_entropy", 0.01, 0.01, 2, 2) | heads("previous_token", 0.9, 0.8), every=99),
        # Random weights have large gradients; the warm-up does not count.
        rows(lambda s: {"train/clip_rate": 1.0 if s <= 290 else 0.0}),
        # Gradients a little longer than the limit, for ever.
        rows(lambda s: {"train/clip_rate": 1.0, "train/grad_norm": 1.9}),
        # A rate of zero freezes everything alike.
        rows(lambda s: family("layers/update_ratio", 0.0, 0.0, 0.0, 0.0)),
        # Adam's first steps without warm-up, at a small rate.
        rows(lambda s: family("layers/update_ratio", *[0.05 if s == 1 else 0.005] * 4), first=1, last=20, every=1),
        # One slow stretch of a few steps: another program.
        rows(lambda s: {"train/tokens_per_second": 300 if 300 < s < 340 else 1000}),
        # Spikes of a steady gradient that stay below what clipping lets through.
        rows(lambda s: {"train/grad_spike": 9.0 if s in (300, 350, 400) else 0.0, "train/grad_norm_max": 0.6}),
        # The rate has gone down to nothing at the end: then small updates are as they should be.
        rows(lambda s: family("layers/update_ratio", *[1e-6] * 4) | {"train/loss": 2.0, "train/learning_rate": 1e-5}),
    ],
    ids=[
        "previous-token", "warm-up", "slightly clipped", "no rate", "first steps", "busy machine", "short spikes",
        "decayed",
    ],
)
def test_healthy_signs_that_look_like_illness_stay_silent(given):
    train = dataclasses.replace(TRAIN, warmup=0.0) if given[0]["step"] == 1 else TRAIN
    assert diagnose(given, train, MODEL) == []


def test_a_report_over_the_file_and_a_live_run_agree(tmp_path):
    given = [row for above, *_ in CASES.values() for row in above]
    given = sorted(given, key=lambda row: row["step"])
    live, told = Diagnosis(TRAIN, MODEL), []
    with Metrics(tmp_path, tensorboard=False) as metrics:
        for row in given:
            values = {tag: value for tag, value in row.items() if tag != "step"}
            metrics.scalars(row["step"], values)
            told += live.feed(row["step"], values)
    assert len(told) > 10
    read = diagnose(read_metrics(tmp_path), TRAIN, MODEL)
    assert repr(read) == repr(live.findings)  # repr: NaN is not equal to itself
    assert [(f.rule, f.first_step) for f in read] == [(f.rule, f.first_step) for f in told]


def test_a_finding_is_told_once_and_again_only_after_it_ended():
    def rate(step):
        return 0.9 if step % 1000 <= 700 else 0.1

    diagnosis = Diagnosis(TRAIN, MODEL)
    given = rows(lambda s: {"train/clip_rate": rate(s)}, last=2000)
    told = [finding for row in given for finding in diagnosis.feed(row["step"], row)]
    assert [(f.rule, f.first_step) for f in told] == [("clipping", 100), ("clipping", 990)]
    assert [f.last_step for f in diagnosis.findings] == [700, 1700]
    # One point below the threshold does not end it.
    short = rows(lambda s: {"train/clip_rate": 0.1 if s == 400 else 0.9}, last=1000)
    assert len(diagnose(short, TRAIN, MODEL)) == 1


def test_the_evidence_holds_the_numbers_of_the_rows():
    (finding,) = diagnose(CASES["clipping"][0], TRAIN, MODEL)
    assert (finding.first_step, finding.last_step, finding.severity) == (300, 500, "warning")
    (evidence,) = finding.evidence
    assert dataclasses.asdict(evidence) == {"tag": "train/clip_rate", "value": 0.41, "threshold": 0.4, "steps": 200}
    assert finding.text("fr") == (
        "Le taux d'écrêtage dépasse 40 % depuis 200 pas : baissez le taux d'apprentissage ou allongez l'échauffement."
    )
    assert finding.text("en") == (
        "The clip rate has been above 40 % for 200 steps: lower the learning rate or lengthen the warm-up."
    )


def test_every_rule_has_texts_whose_flags_exist():
    fields = {f.name for config in (MODEL, TRAIN) for f in dataclasses.fields(config)}
    assert set(TEXTS) == {rule.name for rule in RULES} == set(CASES)
    for name, (above, _, *config) in CASES.items():
        found = [f for f in diagnose(above, config[0] if config else TRAIN, MODEL) if f.rule == name]
        for lang in ("fr", "en"):
            text = found[0].text(lang)
            assert "{" not in text
            assert len(text) < 330
            assert {flag.replace("-", "_") for flag in re.findall(r"--([a-z][a-z0-9-]*)", text)} <= fields
    assert all(rule.source for rule in RULES)


def test_findings_come_back_from_the_file_and_are_forgotten_on_resume(tmp_path):
    found = diagnose(CASES["not_finite"][0] + CASES["clipping"][0], TRAIN, MODEL)
    with contextlib.closing(FindingsFile(tmp_path)) as file:
        for finding in found:
            file.append(finding)
        assert repr(read_findings(tmp_path)) == repr(found)
        for line in (tmp_path / "diagnosis.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
            assert {"step", "time", "rule", "severity", "from_step", "evidence", "text"} <= set(row)
        file.truncate(500)
    assert [finding.rule for finding in read_findings(tmp_path)] == ["clipping"]
    assert read_findings(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("value", "tag", "french", "english"),
    [
        (0.4, "train/clip_rate", "40 %", "40 %"),
        (0.00123, "layers/update_ratio/03", "0,00123", "0.00123"),
        (3.2e-5, "layers/update_ratio/03", "3,2·10⁻⁵", "3.2·10⁻⁵"),
        (12345.6, "train/tokens_per_second", "12 346", "12,346"),
        (-1.5, "train/log_z", "−1,5", "−1.5"),
        (math.nan, "train/loss", "NaN", "NaN"),
        (0.0, "layers/grad_norm/01", "0", "0"),
    ],
)
def test_numbers_are_written_as_people_write_them(value, tag, french, english):
    assert number(value, tag, "fr") == french
    assert number(value, tag, "en") == english
