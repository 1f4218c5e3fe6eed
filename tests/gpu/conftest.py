"""The proof on a GPU: what is skipped without one, the kernels compiled in parallel first, and the report.

JARVIS_NANO_GPU_REPORT=file.json: outcomes by op and backend, rewritten at each test, so that a crash leaves them too.
JARVIS_NANO_GPU_REHEARSAL=1: tiny shapes on the CPU with Triton's interpreter, to try the tests themselves.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
REHEARSAL = os.environ.get("JARVIS_NANO_GPU_REHEARSAL") == "1"
if REHEARSAL:
    os.environ.setdefault("TRITON_INTERPRET", "1")
sys.path.insert(0, str(HERE.parent / "kernels"))  # error_rule

LONGEST_TEST = 150  # seconds; a kernel that never ends must not take the report with it
UNFINISHED = "did not finish"


class Outcomes:
    """Of each test: the op, the backend, passed or failed or skipped, and what it said first."""

    def __init__(self) -> None:
        self.tests: dict[str, tuple[str | None, str | None, str, str]] = {}

    def set(self, item: pytest.Item, outcome: str, message: str = "") -> None:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        self.tests[item.nodeid] = (given.get("op"), given.get("backend"), outcome, message)

    def summary(self, finished: bool) -> dict:
        def counts(tests: list[tuple[str, str]]) -> dict:
            return {kind: sum(outcome == kind for outcome, _ in tests) for kind in ("passed", "failed", "skipped")}

        report: dict = {}
        for name, (op, backend, outcome, message) in self.tests.items():
            if op is not None and backend is not None:
                entry = report.setdefault(op, {}).setdefault(backend, {"tests": [], "failures": []})
                entry["tests"].append((outcome, message))
                if outcome == "failed":
                    entry["failures"].append(f"{name}: {message}")
        for backends in report.values():
            for entry in backends.values():
                entry |= counts(entry.pop("tests"))
        every = [(outcome, message) for _, _, outcome, message in self.tests.values()]
        return {**report, "total": {**counts(every), "finished": finished}}

    def write(self, *, finished: bool = False) -> None:
        if target := os.environ.get("JARVIS_NANO_GPU_REPORT"):
            beside = Path(f"{target}.part")
            beside.write_text(json.dumps(self.summary(finished), indent=1, ensure_ascii=False), encoding="utf-8")
            beside.replace(target)


OUTCOMES = Outcomes()
BROKEN: list[str] = []  # the test after which the GPU no longer answered


def _without_gpu(item: pytest.Item) -> bool:
    return getattr(item.module, "WITHOUT_GPU", False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _without_gpu(item):
        return
    if not torch.cuda.is_available() and not REHEARSAL:
        pytest.skip("needs a CUDA GPU; `make gpu STAGE=test` on a machine that has one")
    OUTCOMES.set(item, "failed", UNFINISHED)
    OUTCOMES.write()
    if BROKEN:
        pytest.fail(f"not run: the GPU no longer answers since {BROKEN[0]}", pytrace=False)
    faulthandler.dump_traceback_later(LONGEST_TEST, exit=True, file=sys.__stderr__)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = (yield).get_result()
    if _without_gpu(item):
        return
    if report.failed:
        message = str(call.excinfo.value) if call.excinfo else ""
        OUTCOMES.set(item, "failed", next(iter(message.splitlines()), type(call.excinfo.value).__name__))
        if torch.cuda.is_available() and not BROKEN and not _answers():
            BROKEN.append(item.nodeid)
    elif report.skipped or report.when == "call":
        OUTCOMES.set(item, report.outcome, str(call.excinfo.value) if call.excinfo else "")
    if report.when == "teardown":
        faulthandler.cancel_dump_traceback_later()
        OUTCOMES.write()


def _answers() -> bool:
    """False when a kernel has broken the process's context: every later call would fail too, whoever makes it."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    if OUTCOMES.tests:
        OUTCOMES.write(finished=True)


@pytest.fixture(scope="session", autouse=True)
def compiled_in_parallel(request: pytest.FixtureRequest) -> None:
    """Fills Triton's cache by one process a job, where many tests are to run: one after the other takes minutes."""
    here = [item for item in request.session.items if item.path.parent == HERE and not _without_gpu(item)]
    if not torch.cuda.is_available() or len(here) < 40:
        return
    import warm_up

    def run(job: str) -> None:  # whatever fails here fails again in its test, where it is seen
        with suppress(subprocess.TimeoutExpired):
            command = [sys.executable, str(HERE / "warm_up.py"), job]
            subprocess.run(command, capture_output=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"})

    faulthandler.cancel_dump_traceback_later()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(run, warm_up.jobs()))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """In the rehearsal one: the kernels are interpreted, and the threads of tiny tensors wait for each other."""
    if REHEARSAL:
        torch.set_num_threads(1)
