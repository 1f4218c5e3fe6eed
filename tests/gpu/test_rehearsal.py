"""The GPU's tests themselves, on a machine without one: they run in Triton's interpreter, and the report is right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WITHOUT_GPU = True  # these need none
HERE = Path(__file__).parent
PLAIN = ["-q", "-o", "addopts=", "-W", "default", "-p", "no:cacheprovider"]

EXAMPLE = '''
import pytest

PAIRS = [("norm", "triton"), ("norm", "cuda"), ("other", "triton")]


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_first(op, backend):
    if backend == "cuda":
        pytest.skip("not built")


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_second(op, backend):
    assert op == "norm", "far off\\nand more"


@pytest.fixture
def broken():
    raise ValueError("no fixture")


@pytest.mark.parametrize(("op", "backend"), PAIRS[:1])
def test_third(op, backend, broken):
    pass


def test_of_no_op():
    pass
'''


def run(*arguments: str, report: Path, rehearsal: str = "1") -> tuple[subprocess.CompletedProcess, dict]:
    environment = {**os.environ, "JARVIS_NANO_GPU_REPORT": str(report), "JARVIS_NANO_GPU_REHEARSAL": rehearsal}
    command = [sys.executable, "-m", "pytest", *PLAIN, *arguments]
    done = subprocess.run(command, env=environment, cwd=HERE.parent.parent, capture_output=True, text=True)
    return done, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}


def test_the_report_counts_by_op_and_backend(tmp_path):
    folder = tmp_path / "gpu"
    folder.mkdir()
    shutil.copy(HERE / "conftest.py", folder)
    (folder / "test_example.py").write_text(EXAMPLE, encoding="utf-8")
    done, report = run(str(folder), "--rootdir", str(folder), report=tmp_path / "report.json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert report["total"] == {"passed": 5, "failed": 2, "skipped": 1, "finished": True}
    failure = report["norm"]["triton"].pop("failures")
    assert report["norm"]["triton"] == {"passed": 2, "failed": 1, "skipped": 0}
    assert report["norm"]["cuda"] == {"failures": [], "passed": 1, "failed": 0, "skipped": 1}
    assert [entry.partition("::")[2] for entry in failure] == ["test_third[norm-triton]: no fixture"]
    (failure,) = report["other"]["triton"]["failures"]
    assert failure.endswith("test_second[other-triton]: far off")


def test_a_process_that_dies_leaves_the_report(tmp_path):
    folder = tmp_path / "gpu"
    folder.mkdir()
    shutil.copy(HERE / "conftest.py", folder)
    dying = EXAMPLE.replace('assert op == "norm", ', "import os; os._exit(3) #")
    (folder / "test_example.py").write_text(dying, encoding="utf-8")
    done, report = run(str(folder), "--rootdir", str(folder), report=tmp_path / "report.json")
    assert done.returncode == 3
    assert report["total"] == {"passed": 2, "failed": 1, "skipped": 1, "finished": False}
    (failure,) = report["norm"]["triton"]["failures"]
    assert failure.endswith("test_second[norm-triton]: did not finish")


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the tests themselves run")
@pytest.mark.slow
def test_every_test_runs_in_the_interpreter(tmp_path):
    pytest.importorskip("triton")
    done, report = run(str(HERE), f"--ignore={__file__}", report=tmp_path / "report.json")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert report["total"]["failed"] == 0
    assert report["total"]["finished"]
    from jarvis_nano.kernels import backends

    for op in backends.all_ops():
        assert report[op]["triton"]["passed"] >= 6, op


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_everything_is_skipped_with_a_reason(tmp_path):
    done, report = run(str(HERE / "test_error_rule.py"), "-rs", report=tmp_path / "report.json", rehearsal="0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" not in done.stdout
    assert "needs a CUDA GPU" in done.stdout
    assert (report["total"]["passed"], report["total"]["failed"]) == (0, 0)
    assert report["causal_attention"]["cuda"]["skipped"] > 5
