"""Compiles what the tests will launch into Triton's cache: `warm_up.py JOB`, one process a job, all at once.

A job is an op and a dtype, or a style of test_training.py. Nothing is checked here.
"""

from __future__ import annotations

import sys

from gpu_case import needs, short
from gpu_cases import error_cases

from jarvis_nano.kernels import backends


def jobs() -> list[str]:
    """The longest first."""
    found = {f"{op}:{short(dtype)}" for op, backend, _, dtype in error_cases() if backend == "triton"}
    styles = [f"training:{style}" for style in ("nano", "gpt2", "llama")]
    return [*styles, *sorted(found, key=lambda job: (not job.startswith("causal"), job))]


def main(job: str) -> None:
    wanted, _, what = job.partition(":")
    if wanted == "training":
        import test_training

        test_training.curve(what, dict.fromkeys(backends.all_ops(), "triton"), steps=2)
        return
    for op, backend, case, dtype in error_cases():
        if (op, backend, short(dtype)) == (wanted, "triton", what):
            needs(op, backend)
            case.ours(case.inputs(dtype), backend)


if __name__ == "__main__":
    main(sys.argv[1])
