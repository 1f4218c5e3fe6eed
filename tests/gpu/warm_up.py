"""Compiles what the tests will launch into Triton's cache: `warm_up.py JOB`, one process a job, all at once.

A job is a few cases of an op in a dtype, or a style of test_training.py. Nothing is checked here.
"""

from __future__ import annotations

import sys

from gpu_case import DTYPES, Case, needs, short
from gpu_cases import error_cases

from jarvis_nano.kernels import backends

AT_ONCE = 4  # cases of a job


def cases(op: str, dtype: str) -> list[Case]:
    return [c for o, backend, c, d in error_cases() if (o, backend, short(d)) == (op, "triton", dtype)]


def jobs() -> list[str]:
    """The longest first."""
    kinds = {(op, short(dtype)) for op, backend, _, dtype in error_cases() if backend == "triton"}
    found = [f"{op}:{dtype}:{i}" for op, dtype in kinds for i in range(0, len(cases(op, dtype)), AT_ONCE)]
    styles = [f"training:{style}:0" for style in ("nano", "gpt2", "llama")]
    return [*styles, *sorted(found, key=lambda job: (not job.startswith("causal"), job))]


def main(job: str) -> None:
    op, what, first = job.split(":")
    if op == "training":
        import test_training

        test_training.curve(what, dict.fromkeys(backends.all_ops(), "triton"), steps=2)
        return
    needs(op, "triton")
    dtypes = {short(dtype): dtype for dtype in DTYPES}
    for case in cases(op, what)[int(first) : int(first) + AT_ONCE]:
        case.ours(case.inputs(dtypes[what]), "triton")


if __name__ == "__main__":
    main(sys.argv[1])
