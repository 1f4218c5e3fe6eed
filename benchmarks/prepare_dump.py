"""Preparing a large synthetic dump: speed, memory over time, and whether kills change the result.

    python benchmarks/prepare_dump.py [--megabytes 2000] [--kills 20] [--suffix .xml] [--out figures.json]

Memory is what the processes of the command hold together (the proportional set sizes of Linux, so that shared pages
count once), sampled every half second. Killed are all of them at once, with SIGKILL, at random times of the
first run's length; then the command is run to its end, and the hash of every file is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/corpus"))

from synthetic_dump import write_dump  # noqa: E402 (beside the tests, which use it too)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--suffix", choices=(".xml", ".xml.bz2"), default=".xml")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder if not given")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        figures = measure(Path(folder), asked.megabytes, asked.kills, asked.suffix, asked.processes)
    print(json.dumps(figures, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(folder: Path, megabytes: int, kills: int, suffix: str, processes: int) -> dict[str, object]:
    dump = write_dump(folder / f"dump{suffix}", megabytes * 1_000_000)
    print(f"{dump.stat().st_size / 1e6:,.0f} MB of dump", file=sys.stderr)
    started = time.perf_counter()
    memory = run(dump, folder / "whole", processes)
    seconds = time.perf_counter() - started
    quarter = max(1, len(memory) // 4)
    manifest = json.loads((folder / "whole/manifest.json").read_text(encoding="utf-8"))
    figures: dict[str, object] = {
        "megabytes_of_xml": megabytes,
        "suffix": suffix,
        "processes": processes,
        "seconds": round(seconds, 1),
        "megabytes_per_second": round(megabytes / seconds, 2),
        "memory_mb": {
            "peak": round(max(memory)),
            "median_of_second_quarter": round(statistics.median(memory[quarter : 2 * quarter])),
            "median_of_last_quarter": round(statistics.median(memory[-quarter:])),
        },
        "counts": manifest["counts"],
    }
    if kills:
        killed = run_killed(dump, folder / "killed", processes, kills, seconds)
        figures |= {"kills": killed, "same_bytes": digest(folder / "whole") == digest(folder / "killed")}
    return figures


def start(dump: Path, out: Path, processes: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "scripts/prepare_corpus.py"), str(dump), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--processes", str(processes)], stdout=subprocess.DEVNULL, start_new_session=True
    )


def run(dump: Path, out: Path, processes: int) -> list[float]:
    """The command to its end; its memory in MB, sampled."""
    process = start(dump, out, processes)
    found = []
    while process.poll() is None:
        found.append(sum(map(memory_of, family(process.pid))) / 1e6)
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"the command failed: {process.returncode}")
    return found


def run_killed(dump: Path, out: Path, processes: int, kills: int, seconds: float) -> int:
    """Kill the command at random times until `kills` have hit, then let it finish; how many hit."""
    rng = random.Random(0)
    hit = 0
    for _ in range(kills):
        process = start(dump, out, processes)
        try:
            process.wait(timeout=rng.uniform(1.5, 1.5 + 2 * seconds / kills))
            break  # done before its time
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hit += 1
    if start(dump, out, processes).wait():
        raise SystemExit("the command failed after the kills")
    return hit


def family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from family(int(child))


def memory_of(pid: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:  # it has ended
        return 0
    return int(found[1]) * 1024 if found else 0


def digest(folder: Path) -> str:
    """Of all files below, with their names."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            whole.update(f"{path.relative_to(folder)} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


if __name__ == "__main__":
    main()
