"""Observing a training: nothing of it changes, what is written is there once, illnesses are named."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jarvis_nano import runs
from jarvis_nano.data.batches import NO_TARGET, Batch
from jarvis_nano.model import Transformer
from jarvis_nano.observe.metrics import read_metrics, series
from jarvis_nano.observe.readings import read_readings
from jarvis_nano.training.distributed import World
from jarvis_nano.training.loop import Interrupted, Trainer, Validation
from jarvis_nano.training.observation import token_counts
from jarvis_nano.training.pretrain import pretrain


@pytest.fixture
def watched(settings, change):
    return change(settings, probe_every=3, log_every=2)


def weights(run):
    return load_file(runs.latest_checkpoint(Path("runs") / run) / "model.safetensors")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_observed_or_not_the_weights_are_the_same_bit_for_bit(watched, change, optimizer):
    watched = change(watched, optimizer=optimizer, hessian=True, micro_batch_size=2)
    pretrain(watched, "nano")
    pretrain(change(watched, run="b", observe="off"), "nano")
    seen, unseen = weights("a"), weights("b")
    assert all(torch.equal(seen[name], unseen[name]) for name in seen)
    tags = {tag for row in read_metrics("runs/b") for tag in row}
    assert not [tag for tag in tags if tag.count("/") > 1 or tag.startswith("observe")]


def test_everything_that_is_promised_is_written(watched, change):
    pretrain(change(watched, hessian=True, micro_batch_size=2, steps=80, log_every=4), "nano")
    tags = {tag for row in read_metrics("runs/a") for tag in row}
    for tag in (
        "layers/grad_norm/00", "layers/clipped_grad_norm/01", "layers/update_ratio/embedding", "layers/grad_norm/final",
        "train/loss_spike", "train/grad_spike", "train/memory_mb", "train/in_context", "train/noise_scale",
        "positions/loss/0016", "frequency/loss/9", "layers/activation_rms/00", "layers/dead_neurons/01",
        "heads/attention_entropy/01.01", "heads/induction/00.00", "probe/max_logit", "probe/lens_depth",
        "probe/hessian_max", "categories/loss/accents", "grammar/accuracy/gender", "eval/grammar",
        "spectrum/stable_rank/blocks.0.mlp.up.weight", "observe/overhead_percent",
    ):  # fmt: skip
        assert tag in tags, tag
    assert Path("runs/a/microscope.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [reading.step for reading in read_readings("runs/a")] == [0, *range(5, 80, 5), 80]


def test_a_resumed_run_has_each_line_once_and_the_same_figures(watched, change, monkeypatch):
    pretrain(watched, "nano")
    original = Trainer._step

    def interrupted(self, requested):
        if self.step == 7:
            raise Interrupted("pulled the plug")
        return original(self, requested)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        with pytest.raises(Interrupted):
            pretrain(change(watched, run="b"), "nano")
    pretrain(change(watched, run="b", resume=True), "nano")
    whole, resumed = read_metrics("runs/a"), read_metrics("runs/b")
    for tag in ("layers/update_ratio/00", "layers/kurtosis/01", "grammar/accuracy/gender", "categories/loss/accents"):
        assert series(whole, tag) == series(resumed, tag), tag
    assert [r.step for r in read_readings("runs/a")] == [r.step for r in read_readings("runs/b")]


class _Once:
    """One batch, always."""

    def __init__(self, batch: Batch) -> None:
        self.all = batch

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        return self.all


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_norms_and_the_small_gradient_are_those_of_autograd(settings, change, optimizer):
    settings = change(settings, dropout=0.0, micro_batch_size=1, log_every=1, optimizer=optimizer)
    torch.manual_seed(3)
    model = Transformer(settings.model)
    ids, targets = torch.randint(340, (2, 4, 32))
    targets[0, :20] = NO_TARGET
    copy = Transformer(settings.model)
    copy.load_state_dict(model.state_dict())
    trainer = Trainer(
        Path(), model, settings.train, _Once(Batch(ids, targets)), Validation((), 0), World(0, 1, torch.device("cpu")),
        deciles=torch.zeros(340),
    )  # fmt: skip
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    totals = trainer._step(False)

    def gradients(rows: slice) -> dict[str, torch.Tensor]:
        result = copy.loss(ids[rows], targets[rows]).loss.sum() / (targets[rows] != NO_TARGET).sum()
        parameters = dict(copy.named_parameters())
        return dict(zip(parameters, torch.autograd.grad(result, list(parameters.values())), strict=True))

    whole, first = gradients(slice(None)), gradients(slice(0, 1))
    names = {p: name for name, p in model.named_parameters()}
    after = dict(model.named_parameters())
    for i, parameter in enumerate(totals.norms.parameters):
        name = names[parameter]
        assert totals.norms.gradient[i].item() == pytest.approx(whole[name].norm().item(), rel=1e-3, abs=1e-7)
        moved = (after[name] - before[name]).norm().item()
        assert totals.norms.update[i].item() == pytest.approx(moved, rel=1e-3, abs=1e-6)
        assert totals.norms.weight[i].item() == pytest.approx(after[name].norm().item(), rel=1e-4)
    square, tokens = totals.small_gradient.tolist()
    assert tokens == 12
    assert square == pytest.approx(sum(float(g.square().sum()) for g in first.values()), rel=1e-3)


def test_counts_leave_out_what_is_no_target():
    targets = torch.tensor([[3, 3, 2, NO_TARGET], [4, 2, 3, 0]])
    batch = Batch(torch.zeros_like(targets), targets)
    assert token_counts([batch, batch], 6).tolist() == [2, 0, 4, 6, 2, 0]


def poison(trainer_step, at: int, change):
    """A Trainer._step that lets `change(trainer)` happen before step `at`."""

    def step(self, requested):
        if self.step == at:
            change(self)
        return trainer_step(self, requested)

    return step


def test_a_nan_is_named_before_the_run_stops(watched, change, monkeypatch):
    def break_it(trainer: Trainer) -> None:
        with torch.no_grad():
            trainer.model.blocks[1].mlp.up.weight[0, 0] = float("nan")

    monkeypatch.setattr(Trainer, "_step", poison(Trainer._step, 7, break_it))
    with pytest.raises(RuntimeError, match="the loss at step 8"):
        pretrain(watched, "nano")
    lines = [json.loads(line) for line in Path("runs/a/diagnosis.jsonl").read_text().splitlines()]
    assert any("finite" in line["rule"] for line in lines), lines


def test_the_profiler_writes_a_trace_on_demand(watched, change):
    pretrain(change(watched, profile=2), "nano")
    assert [path.suffix for path in sorted(Path("runs/a/profile").iterdir())] == [".gz", ".txt"]


def test_two_processes_measure_the_noise_of_their_own_gradients(settings, change, tmp_path):
    """By the hook, with one micro-batch a process: the mean of both squares, as each would have it alone."""
    settings = change(settings, dropout=0.0, log_every=1)
    torch.multiprocessing.spawn(partial(_measure, settings, tmp_path), nprocs=2)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]
    torch.manual_seed(3)
    model = Transformer(settings.model)
    ids, targets = _rows()
    alone = []
    for rows in (slice(0, 2), slice(2, 4)):
        loss = model.loss(ids[rows], targets[rows]).loss.mean()
        alone.append(sum(float(g.square().sum()) for g in torch.autograd.grad(loss, list(model.parameters()))))
    assert found[0] == pytest.approx([np.mean(alone), 64], rel=1e-3)


def _rows() -> tuple[torch.Tensor, torch.Tensor]:
    ids, targets = torch.randint(340, (2, 4, 32), generator=torch.Generator().manual_seed(1))
    return ids, targets


def _measure(settings, folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(3)
    ids, targets = (rows[2 * rank : 2 * rank + 2] for rows in _rows())
    world = World(rank, 2, torch.device("cpu"))
    batches = _Once(Batch(ids, targets))
    trainer = Trainer(
        folder, Transformer(settings.model), settings.train, batches, Validation((), 0), world, deciles=torch.zeros(340)
    )
    totals = trainer._step(False)
    (folder / f"{rank}.json").write_text(json.dumps(totals.small_gradient.tolist()))
    torch.distributed.destroy_process_group()
