"""Observing where it is hard: packed rows, broken models, wide vocabularies, runs that are resumed otherwise."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_observation import poison

from jarvis_nano import runs
from jarvis_nano.data.batches import NO_TARGET, Batch
from jarvis_nano.model import Transformer
from jarvis_nano.observe.diagnosis import read_findings
from jarvis_nano.observe.metrics import read_metrics, series
from jarvis_nano.observe.readings import read_readings
from jarvis_nano.observe.signals import NoiseScale
from jarvis_nano.training import observation, session
from jarvis_nano.training.distributed import World
from jarvis_nano.training.finetune import Finetune, finetune
from jarvis_nano.training.loop import Trainer, Validation
from jarvis_nano.training.objective import Objective, position_buckets, split_sums
from jarvis_nano.training.pretrain import pretrain
from jarvis_nano.training.recorder import Diverged


@pytest.fixture
def watched(settings, change):
    return change(settings, probe_every=3, log_every=2, dropout=0.0)


def test_in_a_packed_row_positions_are_those_in_the_document(settings):
    torch.manual_seed(0)
    model = Transformer(settings.model).eval()
    ids, targets = torch.randint(340, (2, 1, 32))
    document = torch.repeat_interleave(torch.arange(3), torch.tensor([20, 9, 3]))[None]
    targets[0, 18:22] = NO_TARGET
    _, sums = Objective(model, 0.0, torch.zeros(340))(ids, targets, document)
    starts = position_buckets(32)
    means, _ = split_sums(sums.tolist(), len(starts))
    losses = model.loss(ids, targets, document=document).loss.tolist()
    by_bucket: dict[int, list[float]] = {start: [] for start in starts}
    for at, loss in enumerate(losses):
        within = at - (0 if at < 20 else 20 if at < 29 else 29)
        if targets[0, at] != NO_TARGET:
            by_bucket[max(start for start in starts if start <= within)].append(loss)
    assert means == pytest.approx([np.mean(by_bucket[start]) for start in starts], rel=1e-5)


CPU = torch.device("cpu")
_EMPTY = Batch(torch.zeros(0, 32), torch.zeros(0, 32))


class _Once:
    def __init__(self, batch: Batch) -> None:
        self.all = batch

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        return self.all


def test_a_part_without_a_token_says_nothing_of_the_noise(settings, change, tmp_path):
    settings = change(settings, micro_batch_size=1, log_every=1)
    torch.manual_seed(0)
    ids, targets = torch.randint(340, (2, 4, 32))
    targets[0] = NO_TARGET
    trainer = Trainer(
        tmp_path, Transformer(settings.model), settings.train, _Once(Batch(ids, targets)), Validation((), 0),
        World(0, 1, CPU), deciles=torch.zeros(340),
    )  # fmt: skip
    totals = trainer._step(False)
    small, tokens = totals.small_gradient.tolist()
    assert tokens == 0
    assert NoiseScale().update(small, totals.gradient_norm.item() ** 2, tokens, totals.n_tokens) is None


class _Beside(World):
    """The first of two processes; the other has 8 targets of the 40, and its gradient's square is 5 before scaling."""

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return values + torch.tensor([5.0 * (40 / 2 / 8) ** 2, 1 / 8], dtype=torch.float64)


def test_processes_with_unlike_numbers_of_tokens_estimate_the_same_noise(settings, tmp_path):
    """E ‖g_n‖² = |G|² + tr Σ / n: so what stands beside the mean of the squares is the mean of 1 / n."""
    model = Transformer(settings.model)
    trainer = Trainer(tmp_path, model, settings.train, _Once(_EMPTY), Validation((), 0), World(0, 1, CPU))
    trainer.world = _Beside(0, 2, CPU)
    targets = torch.full((1, 32), 3)
    found = trainer._mean_over_parts(torch.tensor(2.0), Batch(targets, targets), 40).tolist()
    squares = 2 * (40 / 2 / 32) ** 2, 5 * (40 / 2 / 8) ** 2
    assert found == pytest.approx([sum(squares) / 2, 1 / ((1 / 32 + 1 / 8) / 2)])


def _break_a_weight(trainer: Trainer) -> None:
    with torch.no_grad():
        trainer.model.blocks[1].mlp.up.weight[0, 0] = float("nan")


@pytest.mark.parametrize(("due", "observe"), [("eval_every", "on"), ("eval_every", "off"), ("sample_every", "on")])
def test_a_nan_between_two_lines_stops_the_run_as_any_other(watched, change, monkeypatch, due, observe):
    never = dict.fromkeys(("eval_every", "sample_every", "save_every", "log_every"), 100)
    watched = change(watched, **never | {due: 5, "steps": 12}, observe=observe)
    monkeypatch.setattr(Trainer, "_step", poison(Trainer._step, 3, _break_a_weight))
    with pytest.raises(Diverged, match=r"step 5 .*half the learning rate"):
        pretrain(watched, "nano")
    if observe == "on" and due == "eval_every":
        assert "not_finite" in {finding.rule for finding in read_findings("runs/a")}


def test_a_model_may_have_more_ids_than_its_tokenizer(watched, tmp_path):
    pretrain(watched, "nano")
    shutil.copytree("runs/a", "runs/wide")
    config = json.loads(Path("runs/wide/config.json").read_text())
    config["model"]["vocab_size"] += 10
    Path("runs/wide/config.json").write_text(json.dumps(config))
    saved = runs.latest_checkpoint(Path("runs/wide"))
    tensors = load_file(saved / "model.safetensors")
    tensors["token_embedding.weight"] = torch.cat((tensors["token_embedding.weight"], torch.zeros(10, 32)))
    save_file(tensors, saved / "model.safetensors")
    state = json.loads((saved / "state.json").read_text())
    state["files"]["model.safetensors"] = runs.sha256(saved / "model.safetensors")
    (saved / "state.json").write_text(json.dumps(state))
    lines = [{"instruction": f"le chat {n}", "response": "oui"} for n in range(20)]
    Path("i.jsonl").write_text("\n".join(map(json.dumps, lines)))
    finetune(Finetune("wide", data="i.jsonl", run="t", steps=2, tensorboard=False, device="cpu", threads=1))
    assert "categories/loss/continuation" in {tag for row in read_metrics("runs/t") for tag in row}


def interrupted(trainer_step, at):
    def step(self, requested):
        if self.step == at:
            raise KeyboardInterrupt
        return trainer_step(self, requested)

    return step


def stop_before(settings, at, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted(Trainer._step, at))
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, "nano")


def test_what_a_run_forgets_is_forgotten_without_observing_too(watched, change, monkeypatch):
    """Killed at 11 with a checkpoint at 5: the looks at 10 are of a future that the resume goes back on."""
    watched = change(watched, save_every=5, eval_every=2, steps=12)
    stop_before(watched, 9, monkeypatch)
    assert [r.step for r in read_readings("runs/a")] == [0, 2, 4, 6, 8]
    stop_before(change(watched, resume=True, observe="off"), 7, monkeypatch)
    assert [r.step for r in read_readings("runs/a")] == [0, 2, 4]
    assert '"step":4,' in Path("runs/a/microscope.html").read_text()
    assert '"step":8,' not in Path("runs/a/microscope.html").read_text()
    pretrain(change(watched, resume=True), "nano")
    assert [r.step for r in read_readings("runs/a")] == [0, 2, 4, 6, 8, 10, 12]


def test_a_run_that_starts_over_keeps_no_old_page(watched, change, monkeypatch):
    stop_before(watched, 3, monkeypatch)
    shown = Path("runs/a/microscope.html")
    assert shown.is_file()
    seen = []
    original = Trainer.train

    def train(self, recorder):
        seen.append((shown.is_file(), read_readings("runs/a")))
        return original(self, recorder)

    monkeypatch.setattr(Trainer, "train", train)
    pretrain(change(watched, resume=True), "nano")
    assert seen == [(False, [])]


def test_observed_only_from_the_resume_on_it_still_knows_the_unigram_loss(watched, change, monkeypatch):
    stop_before(change(watched, observe="off", save_every=4), 5, monkeypatch)
    pretrain(change(watched, resume=True, save_every=4), "nano")
    pretrain(dataclasses.replace(watched, run="b"), "nano")
    (step,), (late,) = series(read_metrics("runs/a"), "train/unigram_loss")
    _, (early,) = series(read_metrics("runs/b"), "train/unigram_loss")
    assert step == 4
    assert late == pytest.approx(early)


def test_pictures_of_packed_rows_keep_documents_apart(watched, change, monkeypatch):
    """Attention maps show what the model sees in training: nothing of the document before."""
    pretrain(change(watched, context=64, steps=2), "nano")
    lines = [{"instruction": f"le chat {n}", "response": "oui"} for n in range(20)]
    Path("i.jsonl").write_text("\n".join(map(json.dumps, lines)))
    maps = []
    monkeypatch.setattr(observation, "attention_picture", lambda one: maps.append(one) or np.zeros((1, 1, 3), np.uint8))
    monkeypatch.setattr(session, "launch", lambda folder: None)
    rows = []
    original = observation.Observation.__init__

    def init(self, *args, **more):
        rows.append(more["rows"])
        original(self, *args, **more)

    monkeypatch.setattr(observation.Observation, "__init__", init)
    finetune(Finetune("a", data="i.jsonl", run="t", steps=1, device="cpu", threads=1))
    document = rows[0].document[0]
    apart = document[:, None] != document[None, :]
    assert apart.any()
    assert maps
    assert all(not one[:, apart].any() for one in maps)


def test_what_went_wrong_unobserved_is_told_once_on_the_resume(watched, change, monkeypatch, capfd):
    slow = change(watched, learning_rate=1e-9, steps=80, save_every=30, eval_every=40, sample_every=80)
    stop_before(change(slow, observe="off"), 65, monkeypatch)
    stop_before(change(slow, resume=True, lang="en"), 70, monkeypatch)
    pretrain(change(slow, resume=True, lang="en"), "nano")
    assert [finding.rule for finding in read_findings("runs/a")] == ["nothing_learnt"]
    assert capfd.readouterr().err.count("alarm, step 60") == 1
