"""Figures measured on CPUs: from pytest-benchmark's JSON into benchmarks/results/ and the table of docs/kernels.md.

    pytest benchmarks --benchmark-only --benchmark-json=FILE.json
    python benchmarks/report.py FILE.json …     # stores them, then writes the table
    python benchmarks/report.py                 # writes the table of what is stored

The table shows the newest results of each processor and instruction set. What is stored is what the table needs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import figures

# (vendor, family, model) -> name: virtual machines often say no more than "Xeon Processor".
PROCESSORS = {
    ("GenuineIntel", 6, 85): "Intel Skylake-SP or Cascade Lake",
    ("GenuineIntel", 6, 106): "Intel Ice Lake-SP",
    ("GenuineIntel", 6, 143): "Intel Sapphire Rapids",
    ("GenuineIntel", 6, 173): "Intel Granite Rapids",
    ("GenuineIntel", 6, 207): "Intel Emerald Rapids",
    ("AuthenticAMD", 25, 1): "AMD Milan (Zen 3)",
    ("AuthenticAMD", 25, 17): "AMD Genoa (Zen 4)",
    ("AuthenticAMD", 26, 2): "AMD Turin (Zen 5)",
}
COLUMNS = (("GFLOP_per_s", "GFLOP/s"), ("of_peak", "of peak"), ("GB_per_s", "GB/s"), ("of_copy", "of copy"))
SHOWN_ELSEWHERE = {"ours_ms", "rounds", "threads", *(key for key, _ in COLUMNS)}


def processor(cpu: dict[str, Any]) -> str:
    """A name for pytest-benchmark's description of the processor."""
    key = (cpu.get("vendor_id_raw", ""), cpu.get("family"), cpu.get("model"))
    return PROCESSORS.get(key) or cpu.get("brand_raw") or cpu.get("arch") or "unknown processor"  # type: ignore[arg-type]


def trimmed(raw: dict[str, Any]) -> dict[str, Any]:
    """What the table needs of pytest-benchmark's JSON, which is a hundred times as long."""
    machine, commit = raw["machine_info"], raw["commit_info"]
    cases = [
        {
            "file": Path(bench["fullname"].partition("::")[0]).stem.removeprefix("bench_"),
            "name": bench["name"].removeprefix("test_"),
            "median_ms": float(f"{1e3 * bench['stats']['median']:.4g}"),
            "extra_info": {key: value for key, value in bench["extra_info"].items() if not isinstance(value, dict)},
        }
        for bench in raw["benchmarks"]
    ]
    return {
        "date": raw["datetime"][:10],
        "processor": processor(machine["cpu"]),
        "cpu": machine["cpu"].get("brand_raw"),
        "count": machine["cpu"].get("count"),
        "peaks": machine.get("peaks", {}),
        "torch": machine.get("torch"),
        "python": machine["python_version"],
        "commit": commit.get("id"),
        "dirty": commit.get("dirty"),
        "cases": cases,
    }


def store(raw: dict[str, Any], folder: Path) -> Path:
    """Writes the trimmed results; others of the same day, processor and instruction set give way case by case."""
    results = trimmed(raw)
    instructions = results["peaks"].get("instructions", "")
    path = folder / f"{results['date']}-cpu-{figures.slug(results['processor'], instructions)}.json"
    if path.exists():
        measured = {(case["file"], case["name"]) for case in results["cases"]}
        before = json.loads(path.read_text(encoding="utf-8"))
        # A peak measured while something else ran is none.
        higher = {k: v for k, v in before["peaks"].items() if k.endswith("_per_s") and v > results["peaks"].get(k, 0)}
        results["peaks"] |= higher
        kept = [case for case in before["cases"] if (case["file"], case["name"]) not in measured]
        results["cases"] = sorted(kept + results["cases"], key=lambda case: case["file"])
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def table(results: dict[str, Any]) -> str:
    """One processor's figures as Markdown: a heading, its peaks, and a table a benchmark file."""
    peaks = results["peaks"]
    instructions = f", {peaks['instructions']}" if "instructions" in peaks else ""
    commit = (results["commit"] or "unknown")[:10] + (" and changes" if results["dirty"] else "")
    text = [
        f"### {results['processor']}, {results['count']} cores{instructions}",
        "",
        f"{results['date']}, torch {results['torch']}, Python {results['python']}, commit {commit}.",
    ]
    if "fma_GFLOP_per_s" in peaks:
        text.append(
            f"On {peaks['threads']} threads at most {peaks['fma_GFLOP_per_s']:,.0f} GFLOP/s of multiply-adds; "
            f"{peaks['copy_GB_per_s']:.1f} GB/s copied (read and written), {peaks['read_GB_per_s']:.1f} GB/s read."
        )
    for file in dict.fromkeys(case["file"] for case in results["cases"]):
        cases = [case for case in results["cases"] if case["file"] == file]
        used = [(key, title) for key, title in COLUMNS if any(key in case["extra_info"] for case in cases)]
        titles = [file, "ms", *(title for _, title in used), "theirs / ours (middle half)", "also"]
        rows = [[case["name"].replace("|", "/"), *_cells(case, used)] for case in cases]
        filled = [n for n in range(len(titles)) if n == 0 or any(row[n] for row in rows)]
        text += ["", _line([titles[n] for n in filled]), "|---" * len(filled) + "|"]
        text += [_line([row[n] for n in filled]) for row in rows]
    return "\n".join(text)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(case: dict[str, Any], used: list[tuple[str, str]]) -> list[str]:
    """ms, the columns used, the rivals, whatever else was recorded."""
    info = case["extra_info"]
    rivals = [key.removesuffix("_over_ours") for key in info if key.endswith("_over_ours")]
    ratios = [f"{rival.replace('_', ' ')} {info[f'{rival}_over_ours']:.2f}{_half(info, rival)}" for rival in rivals]
    known = SHOWN_ELSEWHERE | {f"{rival}_{end}" for rival in rivals for end in ("over_ours", "quartiles", "ms")}
    others = [f"{key.replace('_', ' ')} {value}" for key, value in info.items() if key not in known]
    columns = [_cell(info, key) for key, _ in used]
    return [f"{info.get('ours_ms', case['median_ms']):,.4g}", *columns, ", ".join(ratios), ", ".join(others)]


def _cell(info: dict[str, Any], key: str) -> str:
    if key not in info:
        return ""
    return f"{info[key]:.0%}" if key.startswith("of_") else f"{info[key]:,.4g}"


def _half(info: dict[str, Any], rival: str) -> str:
    quartiles = info.get(f"{rival}_quartiles")
    return f" ({quartiles[0]:.2f}–{quartiles[1]:.2f})" if quartiles else ""


def report(folder: Path, page: Path) -> list[Path]:
    """Writes the newest results of each processor and instruction set into the page; returns which."""
    newest = {path.stem[len("2026-01-01") :]: path for path in figures.of_cpus(folder)}
    if not newest:
        return []
    tables = [table(json.loads(path.read_text(encoding="utf-8"))) for path in newest.values()]
    figures.write_between(page, "cpu figures", "\n\n".join(tables))
    return list(newest.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="what --benchmark-json wrote")
    for file in parser.parse_args().files:
        print(store(json.loads(file.read_text(encoding="utf-8")), figures.RESULTS))
    shown = report(figures.RESULTS, figures.PAGE)
    if not shown:
        sys.exit(
            f"error: nothing under {figures.RESULTS}; run pytest benchmarks --benchmark-only --benchmark-json=FILE"
        )
    print(f"{figures.PAGE} shows {', '.join(path.name for path in shown)}")


if __name__ == "__main__":
    main()
