"""The display: a bar on a terminal, plain lines elsewhere, and the peak that utilisation is measured against."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

from jarvis_nano.observe import progress
from jarvis_nano.observe.progress import TrainingDisplay, duration, measure_peak_flops


def _console(*, terminal: bool, width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=width, highlight=False), out


@pytest.fixture
def clock(monkeypatch):
    """time.monotonic that moves only when told."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_log_gets_plain_lines_now_and_then_and_the_last(clock):
    console, out = _console(terminal=False)
    with TrainingDisplay(100, 20, console=console, log_seconds=30) as display:
        for step in range(21, 101):
            clock.now += 1
            display.update(step, loss=step / 8, tokens_per_second=12345.6, flop_utilisation=0.375, learning_rate=3e-4)
    lines = out.getvalue().splitlines()
    assert lines == [
        "step 21/100 · loss 2.625 · 12,346 tokens/s · 1 min 19 s left · MFU 38% · lr 3.0e-04",
        "step 51/100 · loss 6.375 · 12,346 tokens/s · 49 s left · MFU 38% · lr 3.0e-04",
        "step 81/100 · loss 10.125 · 12,346 tokens/s · 19 s left · MFU 38% · lr 3.0e-04",
        "step 100/100 · loss 12.500 · 12,346 tokens/s · 0 s left · MFU 38% · lr 3.0e-04",
    ]


def test_an_unknown_utilisation_is_left_out():
    console, out = _console(terminal=False)
    with TrainingDisplay(10, console=console) as display:
        display.update(1, loss=1.0, tokens_per_second=2.5e6, flop_utilisation=None)
    assert "MFU" not in out.getvalue()
    assert "2.50 M tokens/s" in out.getvalue()


def test_a_note_is_the_very_text_on_its_own_line():
    text = "[bold]Il[/bold] dit : « [i] » " + "long " * 60
    for terminal in (False, True):
        console, out = _console(terminal=terminal)
        with TrainingDisplay(10, console=console) as display:
            display.update(1, loss=1.0, tokens_per_second=1.0)
            display.note(text)
        assert text in out.getvalue()
        assert ("\x1b" in out.getvalue()) == terminal


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_shows_one_line_that_fits(width):
    console, out = _console(terminal=True, width=width)
    with TrainingDisplay(5000, 0, console=console) as display:
        display.update(1234, loss=2.3456, tokens_per_second=8600, flop_utilisation=0.42, learning_rate=1e-3)
        display._bar.refresh()
    frames = [frame for frame in console_text(out).splitlines() if "1234/5000" in frame]
    assert frames
    assert all(len(frame) <= width for frame in frames)
    assert "loss 2.346 · 8,600 tokens/s" in frames[-1]
    assert "━" in frames[-1]


def console_text(out: io.StringIO) -> str:
    from rich.text import Text

    return Text.from_ansi(out.getvalue().replace("\r", "\n")).plain


def test_everything_goes_to_stderr(capsys):
    with TrainingDisplay(10) as display:
        display.update(1, loss=1.0, tokens_per_second=1.0)
        display.note("eval/loss 1.5")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 1/10" in captured.err
    assert "eval/loss 1.5" in captured.err


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("speed", [1e9, 1e11, 9e14], ids=["1 GFLOP/s", "100 GFLOP/s", "900 TFLOP/s"])
def test_the_peak_is_the_best_product_within_the_budget(monkeypatch, speed):
    """On a machine of a known speed, that pays 3 ms for the first product of each size and 5 µs for each call."""
    now, sizes = [0.0], set()

    def multiply(x: torch.Tensor, _: torch.Tensor) -> None:
        n = x.shape[0]
        now[0] += 2 * n**3 / speed + 5e-6 + (0.0 if n in sizes else 3e-3)
        sizes.add(n)

    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch, "mm", multiply)
    monkeypatch.setattr(torch, "ones", lambda n, *_, **__: torch.empty(1).expand(n, n))
    peak = progress._measured_peak.__wrapped__(torch.device("cpu"), torch.float32)
    assert 0.98 * speed < peak < speed
    assert now[0] < 0.5


def test_a_real_peak_is_measured_once():
    peak = measure_peak_flops("cpu", torch.float32)
    assert peak > 1e8
    assert measure_peak_flops(torch.device("cpu"), torch.float32) == peak


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("Tesla T4", None),
    ],
)
def test_the_data_sheet_is_found_by_the_device_name(name, peak):
    assert progress._data_sheet_peak(name) == peak
