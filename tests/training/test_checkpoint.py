"""Checkpoints: written whole or not at all, verified when read, with a way out when damaged."""

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from jarvis_nano import runs
from jarvis_nano.config import ModelConfig
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.training import checkpoint

CONFIG = ModelConfig(vocab_size=40, context=8, n_layers=1, n_heads=2, d_model=8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Transformer(CONFIG)


def save(run, model, step, loss=1.0, keep=2):
    state = {name: {"momentum": torch.full_like(p, step)} for name, p in model.named_parameters()}
    return checkpoint.save(run, model, state, step=step, state={"eval_loss": loss}, keep=keep)


def test_what_was_saved_comes_back(tmp_path, model):
    save(tmp_path, model, 3)
    other = Transformer(CONFIG)
    state, optimizer = checkpoint.restore(tmp_path, other)
    assert state["step"] == 3
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))
    assert all((values["momentum"] == 3).all() for values in optimizer.values())
    assert set(optimizer) == {name for name, _ in model.named_parameters()}


def test_the_best_outlives_the_last(tmp_path, model):
    for step, loss in enumerate((3.0, 1.0, 2.0, 2.5, 2.6), start=1):
        save(tmp_path, model, step, loss, keep=2)
    assert [path.name for path in runs.checkpoints(tmp_path)] == ["step_00000002", "step_00000004", "step_00000005"]
    assert runs.latest_checkpoint(tmp_path).name == "step_00000005"


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_named_with_a_way_out(tmp_path, model, name, damage):
    save(tmp_path, model, 1)
    broken = save(tmp_path, model, 2) / name
    data = bytearray(broken.read_bytes())
    if damage == "remove":
        broken.unlink()
    elif damage == "truncate":
        broken.write_bytes(data[:-10])
    else:
        data[-3] ^= 1
        broken.write_bytes(data)
    with pytest.raises(UserError, match="step_00000001") as caught:
        checkpoint.restore(tmp_path, model)
    assert str(broken) in str(caught.value)
    (tmp_path / "latest").write_text("step_00000001\n")  # what the message says
    assert checkpoint.restore(tmp_path, model)[0]["step"] == 1


def test_a_failed_save_leaves_the_old_checkpoint_and_nothing_else(tmp_path, model, monkeypatch):
    save(tmp_path, model, 1)

    def full(path):
        raise OSError(28, "No space left", str(path))

    monkeypatch.setattr(checkpoint, "_sync", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, model, 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000001"]
    assert runs.latest_checkpoint(tmp_path).name == "step_00000001"


def test_a_half_written_folder_of_a_killed_process_is_no_checkpoint(tmp_path, model):
    save(tmp_path, model, 1)
    killed = tmp_path / "checkpoints" / ".step_00000002.tmp"
    killed.mkdir()
    (killed / "model.safetensors").write_bytes(b"half")
    assert runs.latest_checkpoint(tmp_path).name == "step_00000001"
    save(tmp_path, model, 2)
    assert not killed.exists()


def test_weights_of_another_shape_are_refused_by_name(tmp_path, model):
    save(tmp_path, model, 1)
    wider = Transformer(ModelConfig(vocab_size=41, context=8, n_layers=1, n_heads=2, d_model=8))
    with pytest.raises(UserError, match=r"token_embedding.weight is \(40, 8\), the configuration expects \(41, 8\)"):
        checkpoint.restore(tmp_path, wider)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format": "something else"}'])
def test_a_damaged_state_is_a_clear_error(tmp_path, model, text):
    (save(tmp_path, model, 1) / "state.json").write_text(text)
    with pytest.raises(UserError, match=r"state\.json"):
        checkpoint.restore(tmp_path, model)


def test_no_pickle_in_a_run_folder(tmp_path, model):
    save(tmp_path, model, 1)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json", ""}
    json.loads((runs.latest_checkpoint(tmp_path) / "state.json").read_text())


def test_runs_without_a_checkpoint_or_unknown_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("JARVIS_NANO_RUNS", str(tmp_path))
    with pytest.raises(UserError, match=r"scripts/pretrain\.py"):
        runs.resolve("nothing")
    with pytest.raises(UserError, match="make demo"):
        runs.newest()
    with pytest.raises(UserError, match="no checkpoint yet"):
        runs.latest_checkpoint(tmp_path)
    first = runs.next_free("nano")
    assert first == Path(tmp_path / "nano-1")
    assert runs.next_free("nano") == Path(tmp_path / "nano-2")
    runs.give_up(first)
    assert runs.next_free("nano") == first


def test_going_back_to_an_older_checkpoint_forgets_the_later_ones(tmp_path, model):
    for step, loss in ((500, 1.0), (1000, 2.0), (1500, 3.0)):
        save(tmp_path, model, step, loss)
    (tmp_path / "latest").write_text("step_00000500\n")
    save(tmp_path, model, 600, 2.0)
    assert runs.latest_checkpoint(tmp_path).name == "step_00000600"
    assert [path.name for path in runs.checkpoints(tmp_path)] == ["step_00000500", "step_00000600"]


def test_a_full_disk_is_an_oserror_that_names_the_file(tmp_path, model, monkeypatch):
    def full(tensors, path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space") as caught:
        save(tmp_path, model, 1)
    assert caught.value.errno == errno.ENOSPC
    assert not list((tmp_path / "checkpoints").iterdir())
