"""In a real browser TensorBoard's pages show what a run recorded. Needs Chromium."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.tensorboard import launch

SCRIPT = Path(__file__).parents[2] / "docs" / "screenshot_tensorboard.py"


def _load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("screenshot_tensorboard", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _load_script()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(script.find_chromium() is None, reason="no Chromium: apt-get install chromium"),
]

SAMPLE = "# Il était une fois *un chat*\n  — L'été <|end|> est là."


@pytest.fixture(scope="module")
def browser_and_url(tmp_path_factory) -> Iterator[tuple]:
    runs = tmp_path_factory.mktemp("runs")
    with Metrics(runs / "demo") as metrics:
        for step in range(10, 101, 10):
            metrics.scalars(
                step, {"train/loss": 100 / step, "train/tokens_per_second": 8600.0, "eval/loss": 101 / step}
            )
            metrics.histograms(step, {"weights/head.weight": torch.linspace(-1, 1, 1000) * step})
        metrics.text(100, "samples/generated", SAMPLE)
    server = launch(runs, port=16806)
    with script.Chromium(height=1600) as browser:
        yield browser, server.url
    server.close()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            "timeseries",
            ["demo/tensorboard", "train/loss", "eval/loss", "train/tokens_per_second", "weights"],
        ),
        ("scalars", ["demo/tensorboard", "eval/loss"]),
        ("custom_scalars", ["train and eval", "loss", "perplexity"]),
        ("histograms", ["weights/head.weight"]),
        ("text", ["samples/generated", "step 100", *SAMPLE.splitlines()]),
    ],
)
def test_a_page_shows_the_run(browser_and_url, page, expected):
    browser, url = browser_and_url
    browser.open(f"{url}?darkMode=false#{page}")
    browser.wait_for(*expected)
    assert browser.screenshot().startswith(b"\x89PNG")


def test_the_curve_is_drawn_with_its_last_value(browser_and_url):
    browser, url = browser_and_url
    browser.open(f"{url}?smoothing=0#timeseries")
    browser.wait_for("train/loss", "8,600")  # the table under the curve
    deadline = time.monotonic() + 20
    drawn = "document.querySelectorAll('line-chart canvas, line-chart svg path').length"
    while not browser.evaluate(drawn):
        assert time.monotonic() < deadline, "no line in the charts"
        time.sleep(0.2)
