"""make gpu: builds, tests and measures on a machine with a GPU. Needs torch, triton, numpy and pytest, nothing else.

    python benchmarks/gpu.py build | test | bench | report

build compiles the extension. test runs tests/gpu and writes which kernels passed on this kind of GPU to
kernels/proven_on_gpu.json: from then on "auto" takes them. bench measures against torch's own and stores
benchmarks/results/<date>-<gpu>.json; it also puts the fastest of the proven kernels first. report writes the newest
results into docs/kernels.md. `--rehearse` goes through bench on a CPU with tiny sizes, for tests.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import figures
import torch
from figures import PAGE, RESULTS, ROOT

PROVEN = ROOT / "kernels/proven_on_gpu.json"
FLUSHED = 2**29  # bytes written before each call: more than any second-level cache holds
FLUSHES = 8  # times, about a millisecond: Python must have queued the call, three launches under autograd say, by then
TESTED = ("test_layernorm", "test_attention", "test_cross_entropy", "test_adamw", "test_rotary", "test_activation")


def need_gpu() -> None:
    if not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU here; `make gpu` is for a machine with one (`make test` proves what it can)")


def capability() -> str:
    return "{}.{}".format(*torch.cuda.get_device_capability())


def build() -> None:
    """The extension for this GPU alone: two architectures fewer to compile."""
    need_gpu()
    environment = {**os.environ, "JARVIS_NANO_CUDA_ARCHITECTURES": capability().replace(".", "")}
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--editable", "."]
    if subprocess.run(pip, cwd=ROOT, env=environment).returncode:
        sys.exit("error: the extension does not build; what the compiler says stands above")


def test() -> None:
    """tests/gpu and the ops' own tests; the kernels without a failure are written down as proven."""
    need_gpu()
    own = [f"tests/kernels/{name}.py" for name in TESTED if (ROOT / f"tests/kernels/{name}.py").exists()]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "JARVIS_NANO_GPU_REPORT": str(report)}
        # The project's own options name plugins that such a machine may lack.
        pytest = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-W", "default", "-p", "no:cacheprovider"]
        code = subprocess.run([*pytest, "tests/gpu", *own], cwd=ROOT, env=environment).returncode
        if not report.exists():
            sys.exit(f"error: pytest ended with {code} before it reported")
        outcome = json.loads(report.read_text(encoding="utf-8"))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{stem()}-tests.json").write_text(json.dumps(facts() | {"tests": outcome}, indent=1) + "\n")
    if not outcome["total"]["finished"]:
        sys.exit("error: the tests were cut short (the last failure names the one at work): no kernel counts as proven")
    proven = passed(outcome)
    write_proven(proven)
    for op, names in proven.items():
        print(f"{op}: passed on {capability()}: {', '.join(names) or 'none'}")
    sys.exit(code)


def passed(outcome: dict) -> dict[str, list[str]]:
    """For each op the kernels that passed a test and failed none."""
    return {
        op: [name for name, count in kinds.items() if count["passed"] and not count["failed"]]
        for op, kinds in outcome.items()
        if op != "total"
    }


def write_proven(kernels: dict[str, list[str]]) -> None:
    table = json.loads(PROVEN.read_text(encoding="utf-8")) if PROVEN.exists() else {}
    table[capability()] = kernels
    PROVEN.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def stem() -> str:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "rehearsal"
    return f"{datetime.date.today()}-{figures.slug(name)}"


def facts() -> dict[str, object]:
    """What a figure needs beside it."""
    import triton

    def says(*command: str) -> str | None:
        if shutil.which(command[0]) is None:
            return None
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip() or None

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    driver = ("nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,clocks.sm,power.limit", "--format=csv,noheader")
    return {
        "date": str(datetime.date.today()),
        "gpu": gpu,
        "driver, largest clock, clock now, power": says(*driver) if gpu else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": triton.__version__,
        "python": sys.version.split()[0],
        "commit": says("git", "rev-parse", "HEAD"),
    }


def timer(device: str) -> Callable[[Callable[[], object]], float]:
    """Seconds of one call, the caches cold. On a GPU the flushes also give Python time to queue the whole call."""
    if device == "cpu":

        def on_cpu(run: Callable[[], object]) -> float:
            began = time.perf_counter()
            run()
            return time.perf_counter() - began

        return on_cpu
    flush = torch.empty(FLUSHED, dtype=torch.int8, device=device)

    def on_gpu(run: Callable[[], object]) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        for _ in range(FLUSHES):
            flush.zero_()
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    return on_gpu


def measure(case, device: str) -> dict:
    """Every runner of a case in turns: the median, the middle half, and what that is in TFLOP/s, TB/s or tokens/s."""
    clock = timer(device)
    seconds: dict[str, list[float]] = {name: [] for name in case.runners}
    for turn in range(case.rounds + 3):
        for name, run in case.runners.items():
            one = clock(run)
            if turn >= 3:  # the first turns compile and warm up
                seconds[name].append(one)
    line: dict = {"op": case.op, "case": case.name, "rounds": case.rounds, "runners": {}}
    if case.notes:
        line["cannot run"] = case.notes
    for name, times in seconds.items():
        low, median, high = statistics.quantiles(times, n=4)
        figures = {"ms": median * 1e3, "ms_quartiles": [low * 1e3, high * 1e3]}
        if case.flops:
            figures["TFLOP/s"] = case.flops / median / 1e12
        if case.bytes:
            figures["TB/s"] = case.bytes / median / 1e12
        if case.tokens:
            figures["tokens/s"] = case.tokens / median
        line["runners"][name] = figures
    return line


def bench(rehearse: bool) -> None:
    if not rehearse:
        need_gpu()
    device = "cpu" if rehearse else "cuda"
    if rehearse:
        os.environ["TRITON_INTERPRET"] = "1"
    sys.path.insert(0, str(Path(__file__).parent))
    import gpu_cases
    from triton.errors import TritonError  # a kernel that does not compile, or asks for too much

    place = gpu_cases.Place(device, rehearse)
    target = (Path(tempfile.mkdtemp()) if rehearse else RESULTS) / f"{stem()}.json"
    target.parent.mkdir(exist_ok=True)
    lines: list[dict] = []
    failed: list[str] = []
    for family in gpu_cases.ALL:
        if family is gpu_cases.train_step and not rehearse:
            order_proven(lines)  # the step runs with the fastest
        try:
            for case in family(place):
                if rehearse:
                    object.__setattr__(case, "rounds", 2)
                lines.append(measure(case, device))
                shown = "  ".join(f"{name} {figures['ms']:.3f}" for name, figures in lines[-1]["runners"].items())
                print(f"{case.op} {case.name} [ms]: {shown}", flush=True)
                # After each case: a run that is cut short leaves what it has.
                target.write_text(json.dumps(facts() | {"cases": lines}, indent=1) + "\n", encoding="utf-8")
        except (RuntimeError, ValueError, TypeError, TritonError):  # the other ops are measured all the same
            failed.append(family.__name__)
            traceback.print_exc()
        if device == "cuda":
            torch.cuda.empty_cache()
    print(target)
    if not rehearse and lines:
        report()
    if failed:
        sys.exit(f"error: not measured to the end: {', '.join(failed)}; why stands above")


def order_proven(lines: list[dict]) -> None:
    """The kernels of this GPU's line in proven_on_gpu.json, the fastest (by the mean ratio of times) first."""
    from jarvis_nano.kernels import backends

    table = json.loads(PROVEN.read_text(encoding="utf-8")) if PROVEN.exists() else {}
    proven = table.get(capability(), {})
    for op, names in proven.items():
        shared = [line["runners"] for line in lines if line["op"] == op and set(names) <= set(line["runners"])]
        if len(names) > 1 and shared:
            cost = {name: statistics.geometric_mean([runners[name]["ms"] for runners in shared]) for name in names}
            names.sort(key=cost.__getitem__)
    if proven:
        write_proven(proven)
    backends.proven_on_this_gpu.cache_clear()
    for op in backends.all_ops().values():
        op._chosen.clear()


def tables(results: dict) -> str:
    """The results as Markdown: a line a case, a column a runner, ours first."""
    text = [f"{results['gpu']}, {results['date']}, torch {results['torch']}, Triton {results['triton']}, "
            f"commit {(results['commit'] or '')[:10]}. Medians; `benchmarks/results/` has the quartiles."]  # fmt: skip
    for op in dict.fromkeys(line["op"] for line in results["cases"]):
        lines = [line for line in results["cases"] if line["op"] == op]
        names = list(dict.fromkeys(name for line in lines for name in line["runners"]))
        unit = next((u for u in ("tokens/s", "TFLOP/s", "TB/s") if u in next(iter(lines[0]["runners"].values()))), "ms")
        text += ["", f"| {op} [{unit}] | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for line in lines:
            found = (line["runners"].get(name, {}).get(unit) for name in names)
            cells = ("" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in found)
            text.append(f"| {line['case']} | {' | '.join(cells)} |")
    return "\n".join(text)


def report() -> None:
    newest = figures.of_gpus(RESULTS)
    if not newest:
        sys.exit(f"error: nothing under {RESULTS.relative_to(ROOT)}; run `make gpu` on a machine with a GPU")
    figures.write_between(PAGE, "gpu figures", tables(json.loads(newest[-1].read_text(encoding="utf-8"))))
    print(f"{PAGE.relative_to(ROOT)} shows {newest[-1].name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stage", choices=("build", "test", "bench", "report"))
    parser.add_argument("--rehearse", action="store_true", help="bench: on a CPU, tiny sizes, results thrown away")
    asked = parser.parse_args()
    if asked.stage == "bench":
        bench(asked.rehearse)
    else:
        {"build": build, "test": test, "report": report}[asked.stage]()


if __name__ == "__main__":
    main()
