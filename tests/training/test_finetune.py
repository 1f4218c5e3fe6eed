"""Tuning: from a file of instructions to a run that answers, and the commands around it."""

import dataclasses
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jarvis_nano import runs
from jarvis_nano.chat import Chat
from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.observe.metrics import read_metrics
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_training import train_tokenizer
from jarvis_nano.training import checkpoint
from jarvis_nano.training.finetune import Finetune, finetune, read_examples

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [
    ("Bonjour !", "Bonjour, que puis-je faire pour vous ?"),
    ("Combien font deux et trois ?", "Deux et trois font cinq."),
    ("Quelle est la capitale de la France ?", "La capitale de la France est Paris."),
    ("Ouvre la fenêtre.", "Très bien, j'ouvre la fenêtre."),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread(two_threads):
    """For models this small a second thread costs more than it brings, and on a busy machine 50 times as much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [text for pair in PAIRS for text in pair] * 20
    return train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=300).tokenizer


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    """A run with random weights, as far as a run goes: what tuning starts from."""
    torch.manual_seed(1234)  # not the seed of any tuning, whose model would begin with the same weights
    model = Transformer(
        ModelConfig(vocab_size=300, context=80, n_layers=2, n_heads=4, d_model=64, positions="rotary", norm="rmsnorm")
    )
    train = TrainConfig(learning_rate=2e-2, log_every=10, eval_every=1000, save_every=1000, sample_every=1000)
    run = tmp_path_factory.mktemp("runs") / "base"
    checkpoint.write_config(run, runs.RunConfig("nano", model.config, train, tokenizer.hash, "nowhere"))
    tokenizer.save(run / "tokenizer")
    checkpoint.save(run, model, {}, step=1, state={"eval_loss": None}, keep=1)
    return run


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "instructions.jsonl"
    lines = [json.dumps({"instruction": q, "response": a}, ensure_ascii=False) for q, a in PAIRS]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def settings(base, data, monkeypatch):
    """80 steps over four conversations, in the runs folder of the base."""
    monkeypatch.setenv("JARVIS_NANO_RUNS", str(base.parent))
    return Finetune(base="base", data=str(data), steps=80, batch_size=3, tensorboard=False, threads=1, device="cpu")


@pytest.fixture
def script(base, monkeypatch, capsys):
    """script("chat.py", "base", text="…") runs a script in this process -> (exit code, stdout, stderr)."""

    def run(name, *arguments, text="", runs_folder=base.parent):
        monkeypatch.setenv("JARVIS_NANO_RUNS", str(runs_folder))
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = 0
        try:
            runpy.run_path(str(ROOT / "scripts" / name), run_name="__main__")
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


def test_a_tuned_run_answers_and_stands_alone(settings, base, data, capsys):
    finetune(dataclasses.replace(settings, run="tuned"))
    run = base.parent / "tuned"
    config = runs.read_config(run)
    assert config.tuned_from == "base"
    assert config.data == str(data)
    assert config.train.learning_rate == pytest.approx(0.3 * 2e-2)
    assert Tokenizer.load(run / "tokenizer") == Tokenizer.load(base / "tokenizer")
    assert runs.newest(tuned=True) == run
    loss = [row["train/loss"] for row in read_metrics(run) if "train/loss" in row]
    assert loss[0] > 3
    assert loss[-1] < 0.1
    chat = Chat(*runs.load(run), temperature=0)
    for question, answer in PAIRS:
        chat.restart()
        assert "".join(chat.reply(question)) == answer
        assert chat.finish == "stop"
    before, after = (runs.load(path)[0].state_dict() for path in (base, run))
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_a_tuning_starts_from_the_bases_weights(settings, base):
    finetune(dataclasses.replace(settings, run="near", steps=1, learning_rate=1e-7))
    before, after = (runs.load(base.parent / name)[0].state_dict() for name in ("base", "near"))
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-5)


def test_a_resumed_tuning_is_the_uninterrupted_one(settings, base):
    short = dataclasses.replace(settings, steps=8, save_every=3, log_every=1)
    finetune(dataclasses.replace(short, run="whole"))
    finetune(dataclasses.replace(short, run="parts"))
    folder = base.parent / "parts"
    first = runs.checkpoints(folder)[0]
    assert first.name < runs.latest_checkpoint(folder).name
    checkpoint.write_text(folder / "latest", first.name + "\n")
    finetune(dataclasses.replace(short, run="parts", data="", steps=None, batch_size=None, resume=True))
    whole, parts = (runs.load(base.parent / name)[0].state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_tuning_stopped_before_its_first_checkpoint_starts_from_the_base(settings, base):
    short = dataclasses.replace(settings, steps=2)
    finetune(dataclasses.replace(short, run="one"))
    finetune(dataclasses.replace(short, run="two"))
    folder = base.parent / "two"
    (folder / "latest").unlink()
    for path in runs.checkpoints(folder):
        path.rename(folder / path.name)
    finetune(dataclasses.replace(short, run="two", resume=True))
    one, two = (runs.load(base.parent / name)[0].state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_epochs_make_the_steps(settings, base, data):
    lines = [json.dumps({"instruction": f"{q} {i}", "response": a}) for i in range(15) for q, a in PAIRS]
    data.write_text("\n".join(lines), encoding="utf-8")
    finetune(dataclasses.replace(settings, run="epochs", steps=None, epochs=0.5, batch_size=4))
    train = runs.read_config(base.parent / "epochs").train
    rows = len(lines) / 2 * 0.95  # two or so conversations fit a row of 80
    assert 0.5 * 0.6 * rows / 4 < train.steps < 0.5 * 1.4 * rows / 4 + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compile": "yes"}, "compile is 'yes'; expected auto, on, off"),
        ({"base": "nowhere"}, "is no run"),
        ({"data": ""}, "--data"),
        ({"data": "nowhere.jsonl"}, "no such file"),
        ({"run": "base"}, "is the run to be tuned"),
        ({"run": "", "resume": True}, "--resume needs --run"),
        ({"steps": None, "epochs": 0.0}, "--epochs is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1.0}, "above 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_cannot_be_leave_nothing_behind(settings, base, changes, message):
    there = sorted(base.parent.rglob("*"))
    with pytest.raises(UserError, match=message):
        finetune(dataclasses.replace(settings, **{"run": "refused", **changes}))
    assert sorted(base.parent.rglob("*")) == there


def test_a_run_is_never_overwritten_and_keeps_what_it_was_started_with(settings, base, data, tmp_path):
    short = dataclasses.replace(settings, run="mine", steps=1)
    finetune(short)
    with pytest.raises(UserError, match="exists already"):
        finetune(short)
    again = dataclasses.replace(short, resume=True)
    with pytest.raises(UserError, match="cannot change it to 5"):
        finetune(dataclasses.replace(again, batch_size=5))
    other = tmp_path / "other.jsonl"
    other.write_bytes(data.read_bytes())
    with pytest.raises(UserError, match="was started with --data"):
        finetune(dataclasses.replace(again, data=str(other)))
    with pytest.raises(UserError, match="was tuned from base, not from"):
        finetune(dataclasses.replace(again, base=str(shutil.copytree(base, tmp_path / "copy"))))


def test_a_tokenizer_that_is_not_the_bases_is_refused(settings, base, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    train_tokenizer(["autre texte " * 50], copy / "tokenizer", vocab_size=270)
    with pytest.raises(UserError, match="put the original tokenizer back"):
        finetune(dataclasses.replace(settings, base=str(copy), run="refused"))


def test_examples_longer_than_the_context_are_counted_and_named(tokenizer, data):
    long = {"instruction": "Parle.", "response": "Bonjour, que puis-je faire ? " * 30}
    with data.open("a", encoding="utf-8") as file:
        file.write("\n\n" + json.dumps(long) + "\n" + json.dumps(long) + "\n")
    found = read_examples(data, tokenizer, 80)
    assert found.too_long == [6, 7]
    assert len(found.train) == 4
    assert "2 conversation(s) longer than the context of 80 tokens are left out: line(s) 6, 7" in found.remarks(80)[0]
    with pytest.raises(UserError, match="all 6 conversations are longer than the model's context of 10"):
        read_examples(data, tokenizer, 10)


def test_the_context_is_used_to_its_last_place(tokenizer, data):
    longest = max(len(ids) for ids, _ in read_examples(data, tokenizer, 80).train)
    assert read_examples(data, tokenizer, longest - 1).too_long == []
    assert read_examples(data, tokenizer, longest - 2).too_long != []


def test_equal_questions_fall_on_one_side_of_the_split(tokenizer, data):
    rows = [(f"Combien font {i} et {i} ?", f"{2 * i}, {n}") for i in range(200) for n in "ab"]
    data.write_text("\n".join(json.dumps({"instruction": q, "response": a}) for q, a in rows), encoding="utf-8")
    found = read_examples(data, tokenizer, 80)
    assert found.is_split
    assert 0.02 * 400 < len(found.held_out) < 0.09 * 400
    assert len(found.train) + len(found.held_out) == 400
    questions = [{tokenizer.decode(ids[~mask][:-1]) for ids, mask in side} for side in (found.train, found.held_out)]
    assert not questions[0] & questions[1]
    assert 1 <= len(found.prompts) <= 3
    assert all(prompt[-1] == tokenizer.special_id("<|assistant|>") for prompt in found.prompts)


def test_tuning_and_chatting_by_command(base, data, script):
    options = ["--steps", "80", "--batch-size", "3", "--no-tensorboard", "--threads", "1", "--run", "by-command"]
    code, out, err = script("finetune.py", "base", "--data", data, *options)
    assert code == 0, err
    assert "python scripts/chat.py" in out
    assert "too few to hold some out" in err
    # A process of its own, as a user starts it: bare, it takes the newest tuned run.
    environment = {**os.environ, "JARVIS_NANO_RUNS": str(base.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "scripts" / "chat.py"), "--temperature", "0"]
    text = "Bonjour !\n/recommencer\nOuvre la fenêtre.\n"
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", env=environment, timeout=300)
    assert (done.returncode, done.stdout) == (0, f"{PAIRS[0][1]}\n{PAIRS[3][1]}\n"), done.stderr
    assert str(base.parent / "by-command") in done.stderr
    assert "n'est pas affiné" not in done.stderr


def test_chat_falls_back_to_a_pretrained_run_and_says_so(base, tmp_path, script):
    (tmp_path / "base").symlink_to(base)
    code, _, err = script("chat.py", "--max-tokens", "3", text="Bonjour !\n", runs_folder=tmp_path)
    assert code == 0, err
    assert "n'est pas affiné" in err
    assert "finetune.py" in err


def test_chat_without_any_run_says_what_to_run(tmp_path, script):
    code, out, err = script("chat.py", text="Bonjour !\n", runs_folder=tmp_path)
    assert (code, out) == (2, "")
    assert "make demo" in err
    assert len(err.splitlines()) == 1
    code, _, err = script("chat.py", "nowhere", text="Bonjour !\n", runs_folder=tmp_path)
    assert code == 2
    assert "nowhere is no run" in err


def test_sampling_by_command(script):
    code, one, err = script("sample.py", "base", "Bonjour", "--tokens", 8, "--seed", 4, "--json")
    assert code == 0, err
    code, three, err = script("sample.py", "base", "Bonjour", "--tokens", 8, "--seed", 4, "--count", 3, "--json")
    assert code == 0, err
    rows = [json.loads(line) for line in three.splitlines()]
    assert len({row["text"] for row in rows}) == 3
    assert all(row["text"].startswith("Bonjour") and row["tokens"] <= 8 for row in rows)
    assert json.loads(one) == rows[0]
    _, plain, _ = script("sample.py", "base", "Bonjour", "--tokens", 8, "--seed", 4)
    assert plain == rows[0]["text"] + "\n"
    code, out, err = script("sample.py", "base", "a " * 100)
    assert (code, out) == (2, "")
    assert "the model's context is 80" in err
