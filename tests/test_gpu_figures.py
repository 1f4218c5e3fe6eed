"""benchmarks/gpu.py: what `make gpu` measures runs to its end, and its figures become tables. Sizes are tiny here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu  # noqa: E402

LINE = {
    "op": "causal_attention",
    "case": "D=64 T=1024 forward",
    "runners": {"triton": {"ms": 2.0, "TFLOP/s": 412.4}, "cuda": {"ms": 1.0, "TFLOP/s": 8.13}},
}


def test_every_case_runs_and_is_stored():
    pytest.importorskip("triton")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "bench", "--rehearse"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(Path(done.stdout.splitlines()[-1]).read_text(encoding="utf-8"))
    ours = {line["op"] for line in results["cases"] if {"triton", "auto"} & set(line["runners"])}
    from jarvis_nano.kernels.backends import all_ops

    assert ours == {"train_step", *(name for name, op in all_ops().items() if {"triton", "cuda"} & set(op.load))}
    for line in results["cases"]:
        assert len(line["runners"]) >= 2, line
        assert all(figures["ms"] > 0 for figures in line["runners"].values())
    assert results["torch"] == torch.__version__


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("stage", ["build", "test", "bench"])
def test_without_a_gpu_it_says_so(stage):
    done = subprocess.run([sys.executable, str(ROOT / "benchmarks/gpu.py"), stage], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: torch sees no GPU here")


def test_the_tables_have_a_line_a_case_and_a_column_a_runner():
    results = {"gpu": "H", "date": "2026-01-01", "torch": "2", "triton": "3", "commit": "abc"}
    text = gpu.tables(results | {"cases": [LINE, {**LINE, "case": "other", "runners": {"cuda": {"TFLOP/s": 1.5}}}]})
    assert "| causal_attention [TFLOP/s] | triton | cuda |" in text
    assert "| D=64 T=1024 forward | 412 | 8.13 |" in text
    assert "| other |  | 1.50 |" in text


def test_a_kernel_is_proven_by_tests_that_passed_and_none_that_failed():
    def count(passed, failed):
        return {"passed": passed, "failed": failed, "skipped": 1, "failures": []}

    outcome = {"layer_norm": {"triton": count(3, 0), "cuda": count(0, 0)}, "adamw_step": {"triton": count(9, 1)}}
    outcome["total"] = {"passed": 12, "failed": 1, "skipped": 3, "finished": True}
    assert gpu.passed(outcome) == {"layer_norm": ["triton"], "adamw_step": []}


def test_the_fastest_of_the_proven_kernels_comes_first(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "PROVEN", tmp_path / "proven.json")
    monkeypatch.setattr(gpu, "capability", lambda: "9.0")
    other = {"8.0": {"causal_attention": ["triton", "cuda"]}}
    gpu.PROVEN.write_text(json.dumps(other), encoding="utf-8")
    gpu.write_proven({"causal_attention": ["triton", "cuda"], "layer_norm": ["triton"]})
    gpu.order_proven([LINE])
    table = json.loads(gpu.PROVEN.read_text(encoding="utf-8"))
    assert table == {**other, "9.0": {"causal_attention": ["cuda", "triton"], "layer_norm": ["triton"]}}
