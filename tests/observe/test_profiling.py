"""The profiler records the steps that were asked for, once, and leaves a trace that a browser reads."""

from __future__ import annotations

import gzip
import json

import pytest
import torch

from jarvis_nano.observe.profiling import StepProfiler


def _train(profiler: StepProfiler, steps: range) -> None:
    x = torch.ones(8, 8)
    for step in steps:
        with torch.autograd.profiler.record_function(f"work {step + 1}"):
            torch.mm(x, x)
        profiler.step(step + 1)


def _names(path) -> set[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return {event.get("name", "") for event in json.load(file)["traceEvents"]}


def test_the_steps_asked_for_are_recorded(tmp_path):
    with StepProfiler(tmp_path, n_steps=2, wait=1, warm_up=1) as profiler:
        _train(profiler, range(100, 110))
        assert profiler.written == tmp_path / "profile" / "step_000103.json.gz"
    names = _names(profiler.written)
    assert {"work 103", "work 104", "aten::mm"} <= names
    assert not {"work 101", "work 102", "work 105"} & names
    table = (tmp_path / "profile" / "step_000103.txt").read_text(encoding="utf-8")
    assert "steps 103 to at most 104" in table
    assert "aten::mm" in table
    assert len(list((tmp_path / "profile").iterdir())) == 2


@pytest.mark.parametrize(("n_steps", "done"), [(0, 10), (3, 2), (3, 1)])
def test_nothing_is_written_where_nothing_was_recorded(tmp_path, n_steps, done):
    with StepProfiler(tmp_path, n_steps=n_steps, wait=1, warm_up=2) as profiler:
        _train(profiler, range(done))
    assert profiler.written is None
    assert not (tmp_path / "profile").exists()


def test_a_run_that_ends_early_leaves_what_there_is(tmp_path):
    with StepProfiler(tmp_path, n_steps=100, wait=1, warm_up=1) as profiler:
        _train(profiler, range(4))
    assert "work 4" in _names(profiler.written)
