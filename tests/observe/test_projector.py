"""TensorBoard's projector serves the embeddings bit for bit, each row with its own token."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.projector import MAX_ROWS, label_of, write_projector


def _served(logdir: Path, run: str) -> tuple[np.ndarray, list[list[str]]]:
    """The points and the table of labels as TensorBoard's plugin hands them to the page."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    context = TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(logdir)), logdir=str(logdir))
    routes = ProjectorPlugin(context).get_plugin_apps()
    assert json.loads(Client(routes["/runs"]).get("/").data) == [run]
    (embedding,) = json.loads(Client(routes["/info"]).get(f"/?run={run}").data)["embeddings"]
    query = f"/?run={run}&name={embedding['tensorName']}"
    tensor = Client(routes["/tensor"]).get(query)
    table = Client(routes["/metadata"]).get(query)
    assert (tensor.status_code, table.status_code) == (200, 200)
    points = np.frombuffer(tensor.data, dtype="<f4").reshape(embedding["tensorShape"])
    return points, [line.split("\t") for line in table.data.decode().rstrip("\n").split("\n")]


LABELS = ["\n", "\t", " le", "", "é", "a\tb\r\nc", "\u2028", "\x00", '"', "<|end|>"]


@pytest.mark.parametrize(
    "weight",
    [
        torch.randn(10, 6, generator=torch.Generator().manual_seed(0)),
        torch.zeros(10, 3),
        torch.full((10, 2), 1.0).bfloat16(),
        torch.full((10, 1), 6.0148e-39),  # its bytes are letters
    ],
    ids=["random", "zeros", "bfloat16", "bytes that look like text"],
)
def test_tensorboard_serves_the_rows_with_their_tokens(tmp_path, weight):
    write_projector(tmp_path / "run" / "tensorboard", torch.nn.Parameter(weight), LABELS)
    with Metrics(tmp_path / "run") as metrics:
        metrics.scalars(1, {"train/loss": 1.0})
    points, table = _served(tmp_path, "run/tensorboard")
    np.testing.assert_array_equal(points, weight.float().numpy())
    heading, *rows = table
    assert heading == ["token", "id"]
    assert rows == [[label_of(label), str(index)] for index, label in enumerate(LABELS)]
    assert [row[0] for row in rows[:6]] == ["\\n", "\\t", "␣le", "(empty)", "é", "a\\tb\\r\\nc"]


def test_it_is_rewritten_and_bounded(tmp_path):
    folder = tmp_path / "run" / "tensorboard"
    write_projector(folder, np.zeros((3, 2), dtype=np.float32), ["a", "b", "c"])
    n = MAX_ROWS + 5
    weight = np.random.default_rng(0).standard_normal((n, 2)).astype(np.float32)
    write_projector(folder, weight, [str(index) for index in range(n)])
    with Metrics(tmp_path / "run"):
        pass
    points, table = _served(tmp_path, "run/tensorboard")
    np.testing.assert_array_equal(points, weight[:MAX_ROWS])
    assert table[-1] == [str(MAX_ROWS - 1)] * 2
    assert not list(folder.rglob("*.part"))
    assert len(list((folder / "projector").iterdir())) == 2  # the table of zeros is gone


def test_labels_must_fit_the_rows(tmp_path):
    with pytest.raises(ValueError, match=r"\(3, 2\), expected two dimensions and 2 rows"):
        write_projector(tmp_path, np.zeros((3, 2)), ["a", "b"])
