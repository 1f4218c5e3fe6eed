"""benchmarks/report.py: what pytest-benchmark wrote becomes small JSON and a table of what was measured where."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import figures  # noqa: E402
import report  # noqa: E402

NORM = {
    "fullname": "benchmarks/bench_layernorm.py::test_forward[cpu-cpp-(2048, 384)]",
    "name": "test_forward[cpu-cpp-(2048, 384)]",
    "stats": {"median": 0.00031, "data": [0.00031] * 99},
    "extra_info": {
        "ours_ms": 0.2983, "rounds": 99, "torch_over_ours": 1.135, "torch_quartiles": [1.057, 1.213], "torch_ms": 0.34,
        "threads": 2, "GB_per_s": 21.1, "of_copy": 0.914,
    },
}  # fmt: skip
STEP = {
    "fullname": "benchmarks/bench_train_step.py::test_step[L]",
    "name": "test_step[L]",
    "stats": {"median": 0.9},
    "extra_info": {"eager_over_ours": 1.3, "products_over_ours": 0.8, "GFLOP_per_s": 188.7, "of_peak": 0.572, "MB": 6},
}
RAW = {
    "datetime": "2026-11-28T13:36:01.016270+00:00",
    "commit_info": {"id": "8d9dae6448709204e68c89a6a69156e48d8f3ffb", "dirty": False},
    "machine_info": {
        "cpu": {"vendor_id_raw": "GenuineIntel", "family": 6, "model": 143, "brand_raw": "Intel(R) Xeon(R) Processor",
                "count": 2, "flags": ["avx2"] * 99},
        "peaks": {"threads": 2, "instructions": "AVX-512", "fma_GFLOP_per_s": 340.2, "copy_GB_per_s": 23.4,
                  "read_GB_per_s": 23.6},
        "torch": "2.13.0+cpu", "python_version": "3.11.7",
    },
    "benchmarks": [NORM, STEP],
}  # fmt: skip


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "kernels.md"
    path.write_text("before\n<!-- cpu figures -->\nold\n<!-- end of cpu figures -->\nafter\n", encoding="utf-8")
    return path


def test_what_is_stored_names_day_and_processor_and_holds_no_more_than_the_table_needs(tmp_path):
    path = report.store(RAW, tmp_path)
    assert path.name == "2026-11-28-cpu-intel-sapphire-rapids-avx-512.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["commit"] == RAW["commit_info"]["id"]
    assert stored["cases"][0] == {
        "file": "layernorm", "name": "forward[cpu-cpp-(2048, 384)]", "median_ms": 0.31, "extra_info": NORM["extra_info"]
    }  # fmt: skip
    assert "flags" not in path.read_text(encoding="utf-8")


def test_the_table_has_a_line_a_case_with_shares_ratios_and_their_middle_half(tmp_path, page):
    report.store(RAW, tmp_path)
    report.report(tmp_path, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- cpu figures -->\n### Intel Sapphire Rapids, 2 cores, AVX-512\n")
    assert text.endswith("\n<!-- end of cpu figures -->\nafter\n")
    assert "2026-11-28, torch 2.13.0+cpu, Python 3.11.7, commit 8d9dae6448." in text
    assert "| layernorm | ms | GB/s | of copy | theirs / ours (middle half) |" in text
    assert "| forward[cpu-cpp-(2048, 384)] | 0.2983 | 21.1 | 91% | torch 1.14 (1.06–1.21) |" in text
    assert "| train_step | ms | GFLOP/s | of peak | theirs / ours (middle half) | also |" in text
    assert "| step[L] | 900 | 188.7 | 57% | eager 1.30, products 0.80 | MB 6 |" in text
    assert "old" not in text


def test_a_part_measured_again_replaces_its_own_cases_alone(tmp_path):
    report.store(RAW, tmp_path)
    again = copy.deepcopy(RAW)
    again["benchmarks"] = [{**STEP, "stats": {"median": 0.8}}]
    again["machine_info"]["peaks"] |= {"fma_GFLOP_per_s": 200.0, "copy_GB_per_s": 25.0}
    stored = json.loads(report.store(again, tmp_path).read_text(encoding="utf-8"))
    assert {case["file"]: case["median_ms"] for case in stored["cases"]} == {"layernorm": 0.31, "train_step": 800.0}
    assert stored["peaks"]["fma_GFLOP_per_s"] == 340.2  # the second time something else ran
    assert stored["peaks"]["copy_GB_per_s"] == 25.0


def test_each_processor_shows_its_newest_results(tmp_path, page):
    other = copy.deepcopy(RAW)
    other["machine_info"]["peaks"]["instructions"] = "AVX2"
    older = copy.deepcopy(RAW) | {"datetime": "2026-10-01T00:00:00", "benchmarks": [STEP]}
    for raw in (RAW, other, older):
        report.store(raw, tmp_path)
    shown = [path.name for path in report.report(tmp_path, page)]
    assert sorted(shown) == [f"2026-11-28-cpu-intel-sapphire-rapids-{name}.json" for name in ("avx-512", "avx2")]


def test_results_of_gpus_and_of_cpus_do_not_mix(tmp_path):
    for name in ("2026-01-01-h100.json", "2026-01-01-h100-tests.json", "2026-01-02-cpu-zen-avx2.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert [path.name for path in figures.of_gpus(tmp_path)] == ["2026-01-01-h100.json"]
    assert [path.name for path in figures.of_cpus(tmp_path)] == ["2026-01-02-cpu-zen-avx2.json"]


def test_a_page_without_the_markers_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match="cpu figures"):
        figures.write_between(page, "cpu figures", "table")
    assert page.read_text(encoding="utf-8") == "text"


def test_the_pages_markers_are_there():
    text = figures.PAGE.read_text(encoding="utf-8")
    for what in ("cpu figures", "gpu figures"):
        assert text.count(f"<!-- {what} -->") == text.count(f"<!-- end of {what} -->") == 1
