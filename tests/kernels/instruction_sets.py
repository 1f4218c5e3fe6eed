"""A file's tests again, in a process of their own that is held to one instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jarvis_nano.kernels import backends

NAMES = ("portable", "avx2", "avx512")
ORDER = (*NAMES, "amx")  # tiles, for matrix products alone


def pass_with(instructions: str, file: str, expression: str) -> None:
    """Run the tests of `file` that `expression` (pytest -k) selects; skips where the processor lacks `instructions`."""
    if backends.missing_ops():
        pytest.skip(backends.missing_ops())
    if instructions == "amx":  # has to be asked for, so the process does not say whether it could
        cpu = Path("/proc/cpuinfo")
        if not cpu.exists() or " amx_bf16" not in cpu.read_text(encoding="utf-8"):
            pytest.skip("this processor has no tiles (AMX)")
    elif ORDER.index(instructions) > ORDER.index(backends.instruction_set()):
        pytest.skip(f"this processor has {backends.instruction_set()} at most")
    if instructions == backends.instruction_set():
        pytest.skip(f"this process runs them with {instructions} itself")
    program = (
        "import sys, pytest, torch\nfrom jarvis_nano.kernels import backends\n"
        f"assert backends.missing_ops() is None and backends.instruction_set() == {instructions!r}\n"
        f"sys.exit(pytest.main(['-qx', '-p', 'no:cacheprovider', {file!r}, '-k', {expression!r}]))"
    )
    environment = {**os.environ, "JARVIS_NANO_CPU": instructions}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
