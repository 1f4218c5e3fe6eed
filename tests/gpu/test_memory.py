"""compute-sanitizer's memcheck over the small cases: no kernel reads or writes outside its tensors.

All processes start together, for each spends its time in start-up. torch's cache is off, so that every tensor is an
allocation of its own, and the checker pads them: otherwise what lies past an end is some other tensor.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_calls
from gpu_case import PAIRS, REHEARSAL, needs

HERE = Path(__file__).parent
TIMEOUT = 90  # seconds
PATHS = [os.environ.get("PATH", ""), os.environ.get("CUDA_HOME", "") + "/bin", "/usr/local/cuda/bin"]
OPTIONS = {
    "--tool": "memcheck",
    "--error-exitcode": "99",
    "--padding": "4096",
    "--report-api-errors": "no",  # torch probes some calls that may fail
    "--target-processes": "application-only",  # not ptxas and cc, which Triton starts
}


@pytest.fixture(scope="module")
def checker() -> list[str]:
    """compute-sanitizer, with those of the options that it knows."""
    tool = shutil.which("compute-sanitizer", path=os.pathsep.join(PATHS))
    if tool is None:
        pytest.skip("compute-sanitizer is neither on PATH nor under CUDA_HOME/bin or /usr/local/cuda/bin")
    done = subprocess.run([tool, "--help"], capture_output=True, text=True, timeout=30)
    known = done.stdout + done.stderr
    return [tool, *(part for option, value in OPTIONS.items() if option in known for part in (option, value))]


@pytest.fixture(scope="module")
def running(checker, request, tmp_path_factory):
    """Starts a process for each test of this module: (process, its output's file) by arguments."""
    folder = tmp_path_factory.mktemp("memcheck")
    scripts = [["reads_past_the_end.py"]]
    for item in request.session.items:
        if item.path == request.path and hasattr(item, "callspec"):
            scripts.append(["small_calls.py", item.callspec.params["op"], item.callspec.params["backend"]])
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "CUDA_MODULE_LOADING": "LAZY"}
    processes, started = {}, time.monotonic()
    for script in scripts:
        log = folder / "-".join(script)
        with log.open("w", encoding="utf-8") as output:
            command = [*checker, sys.executable, str(HERE / script[0]), *script[1:]]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        processes[tuple(script)] = (process, log, started)
    yield processes
    for process, _, _ in processes.values():
        if process.poll() is None:
            process.kill()
            process.wait()


def finished(running, *script: str) -> tuple[int, str]:
    """The exit code and the last of the output."""
    process, log, started = running[script]
    try:
        code = process.wait(timeout=max(1.0, started + TIMEOUT - time.monotonic()))
    except subprocess.TimeoutExpired:
        pytest.fail(f"not done after {TIMEOUT} s: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
    return code, log.read_text(encoding="utf-8", errors="replace")


@pytest.mark.skipif(REHEARSAL, reason="no memory checker on the CPU")
def test_the_checker_sees_a_value_past_the_end(running):
    code, output = finished(running, "reads_past_the_end.py")
    assert code != 0, output[-3000:]  # the checker's code, or Python's where the broken context stopped it
    assert "Invalid __global__ read" in output


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_no_access_is_out_of_bounds(op, backend, request):
    needs(op, backend)
    if REHEARSAL:
        assert small_calls.run(op, backend) > 0
        return
    code, output = finished(request.getfixturevalue("running"), "small_calls.py", op, backend)
    errors = [line for line in output.splitlines() if line.startswith("=========")]
    assert code == 0, "\n".join([*errors[:12], output[-2000:]])
    assert "ERROR SUMMARY: 0 errors" in output
    assert " calls" in output
