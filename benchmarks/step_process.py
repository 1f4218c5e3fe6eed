"""A peer's training step in a process of its own, that steps when it is told to: `python step_process.py PEER SIZE`.

One line on standard input each: "step" takes one and answers its seconds; "memory" answers the peak since the imports.
Processes that take turns have each an allocator of their own, in one process the first to set it sets it for all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType


def resident(field: str) -> float:
    """MB of this process: VmRSS now, VmHWM at the most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1.024e-3


class StepProcess:
    """A running step_process.py. `keep`: with the allocator's setting of jarvis_nano.training.allocator."""

    def __init__(self, peer: str, size: str, *, keep: bool, threads: int) -> None:
        command = [sys.executable, __file__, peer, size, f"--threads={threads}", *(["--keep"] if keep else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, word: str) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(word, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}; what it says stands above")
        return json.loads(line)

    def step(self) -> float:
        """Seconds of one step."""
        return self.ask("step")["seconds"]

    def __enter__(self) -> StepProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # an end of its input ends it


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peer")
    parser.add_argument("size")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    asked = parser.parse_args()
    import step_peers
    import torch
    import torch._dynamo  # an optimizer imports it: 160 MB

    from jarvis_nano.training.allocator import keep_freed_memory

    torch.set_num_threads(asked.threads)
    if asked.keep:
        keep_freed_memory()
    if asked.peer == "transformers":
        import transformers  # noqa: F401  its import does not count either
    torch.randn(64, 64) @ torch.randn(64, 64)  # the threads and the product's own tables
    before = resident("VmRSS")
    step = step_peers.PEERS[asked.peer](asked.size)
    for line in sys.stdin:
        if line.strip() == "step":
            began = time.perf_counter()
            step()
            print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
        elif line.strip() == "memory":
            print(json.dumps({"peak": resident("VmHWM") - before, "now": resident("VmRSS") - before}), flush=True)


if __name__ == "__main__":
    main()
