"""metrics.jsonl is whole after any death of the process, resumes where asked, and TensorBoard shows the same."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from jarvis_nano.errors import UserError
from jarvis_nano.observe.metrics import Metrics, read_metrics, read_samples, series
from jarvis_nano.observe.pictures import colours, heat_map

TAGS = (
    "train/loss",
    "train/perplexity",
    "train/learning_rate",
    "train/grad_norm",
    "train/weight_norm",
    "train/tokens_per_second",
    "eval/loss",
    "eval/perplexity",
)

KILLED = """
import sys
from jarvis_nano.observe.metrics import Metrics
metrics = Metrics(sys.argv[1], tensorboard=False)
step = 0
while True:
    metrics.scalars(step, {"train/loss": 1 / (step + 1)})
    print(step, flush=True)
    step += 1
"""

IMPORTS = """
import sys, jarvis_nano.observe.metrics
assert not {"torch", "tensorboard"} & set(sys.modules)
import jarvis_nano.observe.tensorboard, jarvis_nano.observe.progress
assert not {"torch", "tensorboard"} & set(sys.modules)
import jarvis_nano.observe.events
assert not {"torch", "tensorflow"} & set(sys.modules)
"""


def _strict_rows(path: Path) -> list[dict]:
    """The rows as a reader that refuses NaN and Infinity sees them."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]


def _curve(run: Path, tag: str) -> list[tuple[int, float]]:
    """The points that a reader of event files finds."""
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [(point.step, point.value) for point in accumulator.Scalars(tag)]


def _curve_of_tensorboard(run: Path, tag: str) -> list[tuple[int, float]]:
    """The points that TensorBoard's Python loader (--load_fast=false) finds."""
    accumulator = PluginEventAccumulator(str(run / "tensorboard"))
    accumulator.Reload()
    return [(point.step, float(make_ndarray(point.tensor_proto))) for point in accumulator.Tensors(tag)]


def test_a_line_is_on_disk_when_scalars_returns(tmp_path):
    metrics = Metrics(tmp_path / "run", tensorboard=False)
    metrics.scalars(10, {"train/loss": 5.125, "train/tokens_per_second": 8600})
    metrics.scalars(10, {"eval/loss": 5.5})
    first, second = _strict_rows(tmp_path / "run" / "metrics.jsonl")
    metrics.close()
    assert first.pop("time") > 1.7e9
    assert first == {"step": 10, "train/loss": 5.125, "train/tokens_per_second": 8600}
    assert second["eval/loss"] == 5.5
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_values_that_json_has_not_are_null_and_read_back_as_nan(tmp_path):
    import torch

    with Metrics(tmp_path, tensorboard=False) as metrics:
        metrics.scalars(1, {"a": math.nan, "b": math.inf, "c": torch.tensor(-math.inf), "d": torch.tensor(2.5), "e": 3})
    (row,) = _strict_rows(tmp_path / "metrics.jsonl")
    assert (row["a"], row["b"], row["c"], row["d"], row["e"]) == (None, None, None, 2.5, 3)
    (row,) = read_metrics(tmp_path)
    assert math.isnan(row["a"])
    assert row["d"] == 2.5


@pytest.mark.parametrize("half", ['{"step": 3, "train/lo', "{", '{"step": 3, "train/loss": 1.5}'])
def test_a_half_written_last_line_is_tolerated_then_cut(tmp_path, half):
    whole = [1, 2] + ([3] if half.endswith("}") else [])
    with Metrics(tmp_path, tensorboard=False) as metrics:
        metrics.scalars(1, {"train/loss": 3.5})
        metrics.scalars(2, {"train/loss": 2.5})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(half)
    assert [row["step"] for row in read_metrics(tmp_path)] == whole
    with Metrics(tmp_path, tensorboard=False) as metrics:
        metrics.scalars(4, {"train/loss": 1.0})
    assert [row["step"] for row in _strict_rows(tmp_path / "metrics.jsonl")] == [*whole, 4]


@pytest.mark.parametrize("line", ["{damaged\n", "[1]\n", '{"loss": 1}\n', "\0\0\0\n"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n' + line + '{"step": 2}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: .*expected one JSON object"):
        read_metrics(tmp_path)


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match="give the folder of a run"):
        read_metrics(tmp_path)


def test_a_killed_writer_leaves_every_earlier_line(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 200:
            break
    process.send_signal(signal.SIGKILL)
    announced = [200, *(int(line) for line in process.stdout.read().split("\n")[:-1])]
    process.wait()
    process.stdout.close()
    steps = [row["step"] for row in read_metrics(tmp_path)]
    assert steps == list(range(len(steps)))
    assert steps[-1] >= announced[-1]


def test_truncate_keeps_the_step_and_drops_what_came_after(tmp_path):
    with Metrics(tmp_path, tensorboard=False) as metrics:
        for step in (10, 20, 30, 40):
            metrics.scalars(step, {"train/loss": float(step)})
            metrics.text(step, "samples/generated", f"Étape {step}\n«\u00a0fin\u00a0»")
        metrics.truncate(20)
        metrics.scalars(30, {"train/loss": -1.0})
    assert series(read_metrics(tmp_path), "train/loss") == ([10, 20, 30], [10.0, 20.0, -1.0])
    assert [sample["step"] for sample in read_samples(tmp_path)] == [10, 20]
    assert read_samples(tmp_path)[1]["text"] == "Étape 20\n«\u00a0fin\u00a0»"
    assert "Étape" in (tmp_path / "samples.jsonl").read_text(encoding="utf-8")  # unescaped, for grep
    with Metrics(tmp_path, tensorboard=False) as metrics:
        metrics.truncate(-1)
    assert read_metrics(tmp_path) == []


def test_a_truncate_that_is_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    with Metrics(tmp_path, tensorboard=False) as metrics:
        for step in range(5):
            metrics.scalars(step, {"train/loss": 1.0})
        before = (tmp_path / "metrics.jsonl").read_bytes()

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", die)
            with pytest.raises(KeyboardInterrupt):
                metrics.truncate(2)
        assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_names_the_file(tmp_path):
    metrics = Metrics(tmp_path, tensorboard=False)
    metrics._metrics._file.close()
    metrics._metrics._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left") as caught:
        metrics.scalars(1, {"train/loss": 1.0})
    metrics.close()
    assert caught.value.filename == str(tmp_path / "metrics.jsonl")


def test_tensorboard_mirrors_the_file(tmp_path):
    with Metrics(tmp_path) as metrics:
        for step in (10, 20):
            metrics.scalars(step, {tag: step + index / 8 for index, tag in enumerate(TAGS)})
    rows = read_metrics(tmp_path)
    for tag in TAGS:
        assert _curve(tmp_path, tag) == list(zip(*series(rows, tag), strict=True))


def test_a_resumed_curve_has_each_step_once_and_nothing_of_the_lost_steps(tmp_path):
    with Metrics(tmp_path) as metrics:
        for step in range(10, 101, 10):
            metrics.scalars(step, {"train/loss": 1.0})
        metrics.scalars(95, {"only/before": 1.0})
    with Metrics(tmp_path) as metrics:
        metrics.truncate(50)
        metrics.scalars(60, {"train/loss": 2.0})
    expected = [(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0), (50, 1.0), (60, 2.0)]
    assert list(zip(*series(read_metrics(tmp_path), "train/loss"), strict=True)) == expected
    assert _curve(tmp_path, "train/loss") == expected
    assert _curve_of_tensorboard(tmp_path, "train/loss") == expected
    assert _curve(tmp_path, "only/before") == _curve_of_tensorboard(tmp_path, "only/before") == []


def test_a_run_that_starts_over_keeps_the_layout_of_its_charts(tmp_path):
    with Metrics(tmp_path) as metrics:
        metrics.scalars(1, {"train/loss": 1.0})
        metrics.truncate(-1)
        metrics.scalars(1, {"train/loss": 2.0})
    assert _curve(tmp_path, "train/loss") == _curve_of_tensorboard(tmp_path, "train/loss") == [(1, 2.0)]
    accumulator = PluginEventAccumulator(str(tmp_path / "tensorboard"))
    accumulator.Reload()
    assert len(accumulator.Tensors("custom_scalars__config__")) == 1


def _images(run: Path, tag: str) -> list[tuple[int, np.ndarray]]:
    """The decoded pictures of a tag, by both of TensorBoard's readers."""
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    accumulator.Reload()
    plugin = PluginEventAccumulator(str(run / "tensorboard"), tensor_size_guidance={"images": 0})
    plugin.Reload()
    events = accumulator.Images(tag)
    assert [event.encoded_image_string for event in events] == [
        event.tensor_proto.string_val[2] for event in plugin.Tensors(tag)
    ]
    return [(event.step, np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))) for event in events]


def test_a_family_is_stored_and_drawn_but_is_no_curve(tmp_path):
    with Metrics(tmp_path) as metrics:
        for step in (10, 20, 30):
            metrics.scalars(step, {"train/loss": 2.0, "layers/x/00": step / 10, "layers/x/01": 8.0})
            metrics.scalars(step, {"layers/x/02": 5.0})  # a line of families alone
            metrics.heat_maps(step)
    assert series(read_metrics(tmp_path), "layers/x/00") == ([10, 20, 30], [1.0, 2.0, 3.0])
    accumulator = EventAccumulator(str(tmp_path / "tensorboard"))
    accumulator.Reload()
    assert accumulator.Tags()["scalars"] == ["train/loss"]
    pictures = _images(tmp_path, "view/layers/x")
    assert [step for step, _ in pictures] == [10, 20, 30]
    values = np.array([[1.0, 2.0, 3.0], [8.0] * 3, [5.0] * 3])
    expected = heat_map([10, 20, 30], ["00", "01", "02"], values, title="layers/x")
    picture = pictures[-1][1]
    np.testing.assert_array_equal(picture, expected.picture)
    for row in range(3):
        for column in range(3):
            y = expected.top + row * expected.height + expected.height // 2
            x = expected.left + column * expected.width + expected.width // 2
            # the limits: the 2nd and 98th percentile, by hand of the nine sorted values
            low, high = 1 + 0.16 * 1, 8.0
            share = min(max((values[row, column] - low) / (high - low), 0), 1)
            assert picture[y, x].tolist() == colours(np.array(share)).tolist()


def test_heat_maps_of_a_resumed_run_are_those_of_one_that_went_through(tmp_path):
    def record(run: Path, steps: range, resume: int | None = None) -> None:
        with Metrics(run) as metrics:
            if resume is not None:
                metrics.truncate(resume)
            for step in steps:
                metrics.scalars(step, {f"layers/x/{block:02d}": math.sin(step * (block + 1)) for block in range(3)})
                if step % 100 == 0:
                    metrics.heat_maps(step)

    record(tmp_path / "through", range(1, 1001))
    record(tmp_path / "resumed", range(1, 760))
    record(tmp_path / "resumed", range(651, 1001), resume=650)
    through, resumed = _images(tmp_path / "through", "view/layers/x"), _images(tmp_path / "resumed", "view/layers/x")
    assert [step for step, _ in through] == [step for step, _ in resumed] == list(range(100, 1001, 100))
    for (_, one), (_, other) in zip(through, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_truncate_forgets_is_not_drawn(tmp_path):
    with Metrics(tmp_path) as metrics:
        for step in (10, 20, 30):
            metrics.scalars(step, {"layers/x/00": float(step)})
        metrics.heat_maps(30)
        metrics.truncate(10)
        metrics.scalars(20, {"layers/x/00": 7.0})
        metrics.heat_maps(20)
    ((step, picture),) = _images(tmp_path, "view/layers/x")
    assert step == 20
    expected = heat_map([10, 20], ["00"], np.array([[10.0, 7.0]]), title="layers/x")
    np.testing.assert_array_equal(picture, expected.picture)


def test_a_curve_resumed_twice_and_killed_between_is_read_once(tmp_path):
    for first, last, resume in ((1, 40, None), (21, 30, 20), (21, 61, 20)):
        with Metrics(tmp_path) as metrics:
            if resume:
                metrics.truncate(resume)
            for step in range(first, last):
                metrics.scalars(step, {"train/loss": step + first / 128})
        # what a killed process leaves: half a line, half a record
        with (tmp_path / "metrics.jsonl").open("ab") as file:
            file.write(b'{"step": 99, "tra')
        with max((tmp_path / "tensorboard").iterdir()).open("ab") as file:
            file.write(b"\x30\0\0\0\0\0")
    expected = [(step, step + (1 if step <= 20 else 21) / 128) for step in range(1, 61)]
    assert list(zip(*series(read_metrics(tmp_path), "train/loss"), strict=True)) == expected
    assert _curve(tmp_path, "train/loss") == _curve_of_tensorboard(tmp_path, "train/loss") == expected


def test_pictures_come_back_as_they_were_given(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    with Metrics(tmp_path) as metrics:
        metrics.pictures(7, {"attention/00": picture, "attention/01": picture[:, ::-1]})
        with pytest.raises(ValueError, match="expected uint8"):
            metrics.pictures(8, {"attention/00": picture[..., 0]})
    ((step, found),) = _images(tmp_path, "view/attention/01")
    assert step == 7
    np.testing.assert_array_equal(found, picture[:, ::-1])


def test_without_tensorboard_nothing_is_drawn(tmp_path):
    with Metrics(tmp_path, tensorboard=False) as metrics:
        metrics.scalars(1, {"layers/x/00": 1.0})
        metrics.heat_maps(1)
        metrics.pictures(1, {})
        metrics.hyperparameters({"a": 1})
        metrics.finished()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "samples.jsonl"]


def test_no_framework_is_imported_before_it_is_needed():
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
