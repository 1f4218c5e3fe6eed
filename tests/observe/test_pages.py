"""In a real browser TensorBoard's pages show what a run recorded. Needs Chromium."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.pictures import attention_picture
from jarvis_nano.observe.projector import write_projector
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

N_TOKENS = 40
SAMPLE = "# Il était une fois *un chat*\n  — L'été <|end|> est là."


@pytest.fixture(scope="module")
def browser_and_url(tmp_path_factory) -> Iterator[tuple]:
    runs = tmp_path_factory.mktemp("runs")
    labels = [f" mot{index}" for index in range(N_TOKENS)]
    write_projector(runs / "demo" / "tensorboard", torch.randn(N_TOKENS, 8), labels)
    with Metrics(runs / "demo") as metrics:
        for step in range(10, 101, 10):
            metrics.scalars(
                step, {"train/loss": 100 / step, "train/tokens_per_second": 8600.0, "eval/loss": 101 / step}
            )
            metrics.scalars(step, {f"layers/grad_norm/{block:02d}": step + block for block in range(4)})
            metrics.heat_maps(step)
            metrics.histograms(step, {"weights/head.weight": torch.linspace(-1, 1, 1000) * step})
        metrics.hyperparameters({"train.learning_rate": 0.00123, "train.optimizer": "muon"}, ("eval/loss",))
        metrics.pictures(100, {"attention/00": attention_picture(np.tril(np.ones((3, 16, 16))))})
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
        ("custom_scalars", ["Ce que le modèle apprend", "Perte", "Perplexité", "Comment il apprend"]),
        ("images", ["view/attention/00", "view/layers/grad_norm", "step 100"]),
        ("hparams", ["demo/tensor", "train.learning_rate", "0.0012300", "train.optimizer", "muon", "eval/loss"]),
        ("projector", ["1 tensor found", f"Points: {N_TOKENS}", "Dimension: 8", "labels.tsv"]),
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


def test_a_heat_map_is_drawn_at_its_last_step(browser_and_url):
    browser, url = browser_and_url
    browser.open(f"{url}?darkMode=false#images")
    browser.wait_for("view/layers/grad_norm", "step 100")
    # In the shadow roots of the page: how wide each picture is that came.
    widths = """
    (() => {
      const found = [];
      const walk = node => {
        if (node.shadowRoot) walk(node.shadowRoot);
        if (node.tagName === 'IMG' && node.src.includes('individualImage')) found.push(node.naturalWidth);
        for (const child of node.children || []) walk(child);
      };
      walk(document.body);
      return found;
    })()
    """
    deadline = time.monotonic() + 20
    while len([width for width in browser.evaluate(widths) if width > 100]) < 2:
        assert time.monotonic() < deadline, f"pictures of {browser.evaluate(widths)} pixels"
        time.sleep(0.2)
