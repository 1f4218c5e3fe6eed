"""In a real browser the report draws every chart, answers to the pointer and the slider, and fits a phone. Chromium."""

from __future__ import annotations

import dataclasses

import pytest
from test_pages import script
from test_report import make_run

from jarvis_nano.observe.metrics import read_metrics, series
from jarvis_nano.observe.report import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(script.find_chromium() is None, reason="no Chromium: apt-get install chromium"),
]


@dataclasses.dataclass
class Page:
    browser: object

    def __call__(self, expression):
        return self.browser.evaluate(expression)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "a")


@pytest.fixture(params=[1240, 390], scope="module")
def page(request, run):
    path = write_report([run], lang="en")
    with script.Chromium(width=request.param, height=1000) as browser:
        browser.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, mobile=request.param < 600,
                     width=request.param, height=1000)  # fmt: skip
        browser.open(path.as_uri())
        browser.wait_for("The time machine")
        yield Page(browser)


def test_every_chart_and_map_is_drawn(page):
    assert page("document.querySelectorAll('[data-chart]').length") == 3
    lengths = "[...document.querySelectorAll('[data-chart] svg path')].map(path => path.getTotalLength())"
    assert page(f"{lengths}.every(length => length > 50)")
    assert page(f"{lengths}.length") == 4  # training and validation share a chart
    sizes = "[...document.querySelectorAll('[data-map] canvas')].map(c => [c.width, c.height].join()).join(' ')"
    assert page(sizes) == "40,4 4,2 4,1 4,1"


def test_nothing_is_wider_than_the_screen(page):
    assert page("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_pointer_shows_the_numbers_of_the_metrics(page, run):
    steps, losses = series(read_metrics(run), "train/loss")
    tip = """(() => {
      const plot = document.querySelector('[data-chart] .plot'), box = plot.getBoundingClientRect();
      plot.dispatchEvent(new PointerEvent('pointermove', {clientX: box.right - 10, clientY: box.top + 60}));
      return plot.querySelector('.tip').innerText;
    })()"""
    shown = page(tip)
    assert f"step {steps[-1]}" in shown
    assert f"Training loss : {losses[-1]:.4g}" in shown


def test_the_logarithmic_scale_and_the_smoothing_redraw(page):
    path = "document.querySelector('[data-chart] svg path').getAttribute('d')"
    linear = page(path)
    page("document.querySelector('[data-chart] button').click()")
    assert page(path) != linear
    page("document.querySelector('[data-chart] button').click()")
    assert page(path) == linear
    n_paths = "document.querySelectorAll('[data-chart] svg path').length"
    before = page(n_paths)
    page("{const s = document.getElementById('smoothing'); s.value = 0.9; s.oninput({target: s});}")
    assert page(n_paths) > before


def test_the_slider_travels_through_the_samples(page):
    texts = "document.getElementById('texts').innerText"
    assert "Il <b>était</b> & </script> 400" in page(texts)
    page("{const s = document.getElementById('time'); s.value = 0; s.oninput();}")
    assert "Il <b>était</b> & </script> 100" in page(texts)
