"""A rebuilt tensorboard/ shows what the run's own event files showed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator

from jarvis_nano import runs
from jarvis_nano.config import ModelConfig, TrainConfig, to_json
from jarvis_nano.errors import UserError
from jarvis_nano.observe import hparams
from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.rebuilding import rebuild

CONFIG = runs.RunConfig("nano", ModelConfig(), TrainConfig(steps=60), "0" * 64, "data/demo")


@pytest.fixture
def run(tmp_path) -> Path:
    """A run that was killed at step 60, resumed from step 40 and finished."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"format": runs.FORMAT, **to_json(CONFIG)}), encoding="utf-8")
    for first, last in ((5, 65), (45, 65)):
        with Metrics(folder) as metrics:
            if first > 5:
                metrics.truncate(40)
            metrics.hyperparameters(hparams.flattened(CONFIG))
            for step in range(first, last, 5):
                members = {f"layers/grad_norm/{block:02d}": 10.0 ** (block - step / 7) for block in range(4)}
                metrics.scalars(step, {"train/loss": 3 / step, "train/tokens_per_second": 8600 + step, **members})
                if step % 20 == 0:
                    metrics.scalars(step, {"eval/loss": 1 / 3 + 1 / step})
                    metrics.histograms(step, {"weights/a": torch.arange(step)})
                    metrics.heat_maps(step)
                    metrics.pictures(step, {"attention/00": np.full((4, 5, 3), step, dtype=np.uint8)})
                    metrics.text(step, "samples/generated", f"Étape *{step}*")
    metrics_of_end = Metrics(folder)
    metrics_of_end.finished()
    metrics_of_end.close()
    return folder


def _contents(run: Path) -> dict:
    """All that TensorBoard's readers find in a run."""
    old = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    old.Reload()
    new = PluginEventAccumulator(str(run / "tensorboard"), tensor_size_guidance={"text": 0})
    new.Reload()
    tags = old.Tags()
    return {
        "scalars": {t: [(p.wall_time, p.step, p.value) for p in old.Scalars(t)] for t in tags["scalars"]},
        "images": {t: [(p.step, p.encoded_image_string) for p in old.Images(t)] for t in tags["images"]},
        "histograms": {t: [(p.step, p.histogram_value) for p in old.Histograms(t)] for t in tags["histograms"]},
        "texts": [(p.step, p.wall_time, p.tensor_proto.string_val[0]) for p in new.Tensors("samples/generated")],
        "plugins": {name: new.PluginTagToContent(name) for name in ("custom_scalars", "text", "images", "scalars")},
        "hparams": sorted(new.PluginTagToContent("hparams")),
    }


def test_a_rebuilt_folder_shows_the_same(run):
    before = _contents(run)
    assert set(before["scalars"]) == {"train/loss", "eval/loss", "train/tokens_per_second"}
    assert [step for step, _ in before["images"]["view/layers/grad_norm"]] == [20, 40, 60]
    files = set((run / "tensorboard").iterdir())
    assert rebuild(run) == run / "tensorboard"
    (file,) = (run / "tensorboard").iterdir()
    assert file not in files
    assert not (run / "tensorboard.part").exists()
    after = _contents(run)
    for key, value in before.items():
        assert after[key] == value, key
    # float32, as event files hold it, of what metrics.jsonl says
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = [(row["time"], row["step"], float(np.float32(row["train/loss"]))) for row in rows if "train/loss" in row]
    assert after["scalars"]["train/loss"] == expected


def test_without_event_files_the_curves_texts_and_heat_maps_come_back(run):
    before = _contents(run)
    for file in (run / "tensorboard").iterdir():
        file.unlink()
    (run / "tensorboard").rmdir()
    rebuild(run)
    after = _contents(run)
    del before["images"]["view/attention/00"]
    del before["plugins"]["images"]["view/attention/00"]
    for key in ("scalars", "images", "texts", "plugins", "hparams"):
        assert after[key] == before[key], key
    assert after["histograms"] == {}


def test_old_files_that_stay_beside_the_new_one_are_void(run):
    """As when the machine goes down between the two."""
    before = _contents(run)
    old = {file: file.read_bytes() for file in (run / "tensorboard").iterdir()}
    rebuild(run)
    for file, data in old.items():
        file.write_bytes(data)
    after = _contents(run)
    for key in ("scalars", "images", "histograms", "texts"):
        assert after[key] == before[key], key


def test_a_damaged_event_file_is_replaced(run):
    before = _contents(run)
    last = max((run / "tensorboard").iterdir())
    last.write_bytes(last.read_bytes()[:-7])
    first = min((run / "tensorboard").iterdir())
    damaged = bytearray(first.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    first.write_bytes(damaged)
    rebuild(run)
    assert _contents(run)["scalars"] == before["scalars"]


def test_other_files_of_the_folder_stay(run):
    (run / "tensorboard" / "projector_config.pbtxt").write_text("kept", encoding="utf-8")
    (run / "tensorboard.part").write_text("of a rebuild that was killed", encoding="utf-8")
    rebuild(run)
    assert (run / "tensorboard" / "projector_config.pbtxt").read_text(encoding="utf-8") == "kept"
    assert len(list((run / "tensorboard").iterdir())) == 2


def test_a_damaged_metrics_file_leaves_the_old_folder(run):
    files = {file: file.read_bytes() for file in (run / "tensorboard").iterdir()}
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write("{damaged\n")
    with pytest.raises(UserError, match="line"):
        rebuild(run)
    assert {file: file.read_bytes() for file in (run / "tensorboard").iterdir()} == files


def test_the_command_rebuilds_and_refuses_what_is_no_run(run):
    command = [sys.executable, "-m", "jarvis_nano.observe"]
    done = subprocess.run([*command, str(run), "--lang", "en"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{run / 'tensorboard'}\n"), done.stderr
    refused = subprocess.run([*command, str(run / "nothing")], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "is no run" in refused.stderr
