"""The loop: a resumed run is the uninterrupted one, processes and micro-batches do not change the result."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from jarvis_nano import kernels, runs
from jarvis_nano.data.batches import TokenBatches
from jarvis_nano.errors import UserError
from jarvis_nano.observe.metrics import read_metrics
from jarvis_nano.training import loop
from jarvis_nano.training.loop import Interrupted, Trainer
from jarvis_nano.training.pretrain import pretrain
from jarvis_nano.training.recorder import Diverged

ROOT = Path(__file__).resolve().parents[2]


def losses(run):
    return {row["step"]: row["train/loss"] for row in read_metrics(runs.location(run)) if "train/loss" in row}


def weights(run):
    return load_file(runs.latest_checkpoint(runs.location(run)) / "model.safetensors")


def stop_at(monkeypatch, step):
    """A SIGINT that arrives while this step is computed."""
    original = Trainer._step

    def interrupted(self, requested):
        if self.step == step:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, requested)

    monkeypatch.setattr(Trainer, "_step", interrupted)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_resume_is_bit_exact(settings, change, monkeypatch, optimizer):
    settings = change(settings, optimizer=optimizer)
    pretrain(settings, "nano")
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted, match="--resume"):
            pretrain(change(settings, run="b"), "nano")
    assert max(losses("b")) < 12
    pretrain(change(settings, run="b", resume=True), "nano")
    assert losses("a") == losses("b")
    whole, resumed = weights("a"), weights("b")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_loss_falls(settings, change):
    pretrain(change(settings, steps=60, dropout=0.0), "nano")
    curve = losses("a")
    assert curve[60] < 0.7 * curve[1]


def test_micro_batches_do_not_change_the_result(settings, change):
    pretrain(change(settings, dropout=0.0), "nano")
    pretrain(change(settings, dropout=0.0, micro_batch_size=1, run="b"), "nano")
    for step, loss in losses("a").items():
        assert loss == pytest.approx(losses("b")[step], rel=1e-4)


@pytest.mark.parametrize("compile", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_two_processes_train_as_one_with_two_micro_batches(settings, change, corpus, compile):
    one = change(settings, dropout=0.0, micro_batch_size=2)
    pretrain(one, "nano")
    flags = "--run b --no-tensorboard --steps 12 --batch-size 4 --learning-rate 1e-2 --log-every 1 --eval-every 5"
    shape = "--vocab-size 340 --context 32 --n-layers 2 --n-heads 2 --d-model 32 --micro-batch-size 2 --optimizer adamw"
    switches = "--norm layernorm --positions learned --mlp gelu --no-qk-norm --schedule cosine --final-lr 0.05"
    switches += f" --compile {compile}"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "--",
               str(ROOT / "scripts" / "pretrain.py"), "--data", str(corpus), "--device", "cpu",
               *f"{flags} {shape} {switches}".split()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("bits per byte on") == 1, "the result is printed once, by rank 0"
    for step, loss in losses("a").items():
        assert loss == pytest.approx(losses("b")[step], rel=1e-4)


def test_sigterm_writes_a_checkpoint(settings, change, corpus):
    flags = "--run c --steps 100000 --vocab-size 340 --context 32 --no-tensorboard --log-every 1 --device cpu"
    command = [sys.executable, str(ROOT / "scripts" / "pretrain.py"), "--data", str(corpus), *flags.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for _ in range(600):
        if Path("runs/c/metrics.jsonl").is_file() and "train/loss" in Path("runs/c/metrics.jsonl").read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output[-2000:]
    assert "--resume" in output
    step = runs.read_state(runs.latest_checkpoint(Path("runs/c")))["step"]
    assert step >= 1
    assert max(losses("c")) == step


def test_a_broken_loss_stops_the_run_and_spares_the_checkpoints(settings, change, monkeypatch):
    original = Trainer._update

    def explode(self, rate, **more):
        if self.step == 7:
            with torch.no_grad():
                self.model.token_embedding.weight.fill_(float("nan"))
        return original(self, rate, **more)

    monkeypatch.setattr(Trainer, "_update", explode)
    with pytest.raises(Diverged, match="last checkpoint is untouched"):
        pretrain(change(settings, log_every=100), "nano")
    assert runs.latest_checkpoint(Path("runs/a")).name == "step_00000005"
    assert all(torch.isfinite(tensor).all() for tensor in weights("a").values())


def test_weights_broken_by_the_last_update_are_not_saved(settings, change, monkeypatch):
    original = Trainer._backward

    def explode(self, piece, weight):
        sums = original(self, piece, weight)
        if self.step == 9:  # the checkpoint of step 10 comes right after this update
            self.model.token_embedding.weight.grad[0, 0] = float("inf")
        return sums

    monkeypatch.setattr(Trainer, "_backward", explode)
    with pytest.raises(Diverged):
        pretrain(change(settings, log_every=100), "nano")
    assert runs.latest_checkpoint(Path("runs/a")).name == "step_00000005"
    assert all(torch.isfinite(tensor).all() for tensor in weights("a").values())


def test_weights_that_break_without_a_sign_in_the_loss_are_not_saved(settings, change, monkeypatch):
    original = Trainer._update

    def explode(self, rate, **more):
        norm = original(self, rate, **more)
        if self.step == 9:  # loss and gradient of step 10 were fine
            with torch.no_grad():
                self.model.final_norm.weight[3] = float("nan")
        return norm

    monkeypatch.setattr(Trainer, "_update", explode)
    with pytest.raises(Diverged, match="weights after step 10"):
        pretrain(change(settings, log_every=100, eval_every=100), "nano")
    assert runs.latest_checkpoint(Path("runs/a")).name == "step_00000005"


def test_a_fault_in_the_data_reaches_the_user_with_its_traceback(settings, monkeypatch):
    original = TokenBatches.batch

    def damaged(self, step, rank=0, world=1):
        if step == 4 and threading.current_thread().name.startswith("batches"):
            raise UserError("shard 3 is damaged")
        return original(self, step, rank, world)

    monkeypatch.setattr(TokenBatches, "batch", damaged)
    with pytest.raises(UserError, match="shard 3 is damaged") as caught:
        pretrain(settings, "nano")
    assert "damaged" in [entry.name for entry in caught.traceback]
    assert max(losses("a")) == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


READS = ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy", "nonzero")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_reads_nothing_back_from_the_device(settings, change, monkeypatch, optimizer):
    """On a GPU each of these makes the host wait. Whole numbers are the batch, which lies on the host."""
    original, reads, watching = Trainer._step, [], []

    def watched(self, requested):
        watching.append(True)
        totals = original(self, requested)
        watching.pop()
        return totals

    def noted(read, tensor, *args):
        if watching and tensor.is_floating_point():
            reads.append("".join(traceback.format_stack(limit=5)))
        return read(tensor, *args)

    for name in READS:
        read = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda tensor, *args, read=read: noted(read, tensor, *args))
    monkeypatch.setattr(Trainer, "_step", watched)
    with kernels.use_backend("reference"):
        pretrain(change(settings, steps=3, optimizer=optimizer), "nano")
    assert reads == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_on_a_gpu_waits_for_nothing(settings, change, monkeypatch, optimizer):
    original = Trainer._step

    def watched(self, requested):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return original(self, requested)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "_step", watched)
    pretrain(change(settings, device="cuda", optimizer=optimizer), "nano")
    assert len(losses("a")) == settings.train.steps


def use_compiler(monkeypatch, backend):
    """What --compile on does, with this backend of torch.compile and no message about the time."""
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))


@pytest.mark.parametrize(("backend", "rows"), [("aot_eager", 3), ("inductor", 0)])
def test_a_compiled_run_is_the_eager_one(settings, change, monkeypatch, capfd, backend, rows):
    """Losses to rounding, a resume bit for bit, the same names in the checkpoint; dropout apart, whose draws differ."""
    use_compiler(monkeypatch, backend)
    # 3 of 4 rows, then 1: two shapes in each step.
    settings = change(settings, dropout=0.0, n_layers=1, micro_batch_size=rows)
    pretrain(settings, "nano")
    settings = change(settings, compile="on")
    pretrain(change(settings, run="b"), "nano")
    assert "compiled in" in capfd.readouterr().err
    eager, compiled = losses("a"), losses("b")
    assert eager.keys() == compiled.keys()
    for step, loss in eager.items():
        assert loss == pytest.approx(compiled[step], rel=2e-4)
    assert {n: t.shape for n, t in weights("a").items()} == {n: t.shape for n, t in weights("b").items()}
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted):
            pretrain(change(settings, run="c"), "nano")
    pretrain(change(settings, run="c", resume=True), "nano")
    assert losses("c") == compiled
    assert all(torch.equal(weights("b")[name], weights("c")[name]) for name in weights("b"))
    pretrain(change(settings, run="c", resume=True, compile="off", steps=13), "nano")  # and goes on without


def test_compiling_is_for_training_only_and_by_default_for_gpus(settings, change, monkeypatch):
    calls = []
    monkeypatch.setattr(loop, "compiled", lambda model: calls.append(model) or model)
    monkeypatch.setattr(Trainer, "_compile", lambda self: None)
    pretrain(settings, "nano")
    pretrain(change(settings, run="b", compile="off"), "nano")
    assert calls == []
    pretrain(change(settings, run="c", compile="on"), "nano")
    assert len(calls) == 1


def test_a_refused_start_leaves_no_run(settings, change, monkeypatch):
    monkeypatch.setattr(Trainer, "__init__", lambda *_, **__: (_ for _ in ()).throw(UserError("refused")))
    with pytest.raises(UserError, match="refused"):
        pretrain(settings, "nano")
    assert not Path("runs/a").exists()


def test_a_short_context_skips_the_prompts_that_do_not_fit(settings, change):
    pretrain(change(settings, context=8), "nano")
    assert runs.latest_checkpoint(Path("runs/a")).name == "step_00000012"


def test_observe_off_writes_no_samples(settings, change):
    pretrain(change(settings, observe="off"), "nano")
    assert not Path("runs/a/samples.jsonl").exists() or not Path("runs/a/samples.jsonl").read_text()


def test_a_finished_run_is_left_alone_and_can_be_prolonged(settings, change, capsys):
    pretrain(settings, "nano")
    before = Path("runs/a/metrics.jsonl").read_bytes()
    config = Path("runs/a/config.json").read_bytes()
    pretrain(change(settings, resume=True, learning_rate=0.5), "nano")
    assert "finished already" in capsys.readouterr().out
    assert Path("runs/a/config.json").read_bytes() == config
    assert Path("runs/a/metrics.jsonl").read_bytes() == before
    pretrain(change(settings, resume=True, steps=14), "nano")
    assert max(losses("a")) == 14


def test_resume_before_the_first_checkpoint_starts_at_step_0(settings, change):
    pretrain(settings, "nano")
    pretrain(change(settings, run="b", save_every=100), "nano")
    import shutil

    shutil.rmtree("runs/b/checkpoints")
    Path("runs/b/latest").unlink()
    pretrain(change(settings, run="b", save_every=100, resume=True), "nano")
    assert losses("a") == losses("b")


CHANGES = [("data", ("autre.txt",)), ("seed", 3), ("batch_size", 8), ("optimizer", "muon"), ("d_model", 64)]


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_resume_refuses_what_would_change_the_past(settings, change, field, value):
    pretrain(settings, "nano")
    Path("autre.txt").write_text("Un autre texte.\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot change|started with"):
        pretrain(change(settings, resume=True, **{field: value}), "nano")


def test_an_existing_run_is_not_overwritten(settings):
    pretrain(settings, "nano")
    with pytest.raises(UserError, match="exists already"):
        pretrain(settings, "nano")


def test_only_the_last_checkpoints_and_the_best_are_kept(settings, change):
    pretrain(change(settings, save_every=2, eval_every=2, keep=1, steps=20, learning_rate=0.2), "nano")
    kept = {path.name for path in runs.checkpoints(Path("runs/a"))}
    evals = {row["step"]: row["eval/loss"] for row in read_metrics(Path("runs/a")) if "eval/loss" in row}
    assert "step_00000020" in kept
    assert len(kept) <= 2
    best = min(path for path in runs.checkpoints(Path("runs/a")))
    lowest = min(evals[step] for step in evals if step < 20)
    assert json.loads((best / "state.json").read_text())["eval_loss"] <= lowest + 1e-9


def test_metrics_hold_the_original_tags(settings):
    pretrain(settings, "nano")
    rows = read_metrics(Path("runs/a"))
    tags = set().union(*rows)
    assert {"train/loss", "train/perplexity", "train/learning_rate", "train/grad_norm", "train/weight_norm",
            "train/tokens_per_second", "eval/loss", "eval/perplexity", "eval/bits_per_byte"} <= tags  # fmt: skip
    assert "samples/generated" in Path("runs/a/samples.jsonl").read_text(encoding="utf-8")


def test_the_run_folder_loads_and_moves(settings, tmp_path):
    import jarvis_nano

    pretrain(settings, "nano")
    Path("runs/a").rename(tmp_path / "elsewhere")
    model, tokenizer = jarvis_nano.load(tmp_path / "elsewhere")
    ids = torch.from_numpy(tokenizer.encode("le chat mange").astype("int64"))[None]
    assert model(ids).shape == (1, ids.shape[1], tokenizer.vocab_size)


def test_the_demo_does_not_go_on_with_runs_of_another_corpus(settings, change, monkeypatch, tmp_path):
    from jarvis_nano.training import demo

    pretrain(change(settings, run="demo-base"), "nano")
    monkeypatch.setattr(demo, "builtin_folder", lambda builtin, vocab_size: tmp_path / "data" / "builtin-new")
    with pytest.raises(UserError, match="another version of the built-in corpus; remove runs/demo-base and runs/demo"):
        demo.demo(demo.Demo(tensorboard=False))
