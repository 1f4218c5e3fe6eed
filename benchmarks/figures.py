"""Where measured figures lie: JSON under benchmarks/results/, tables between markers in docs/kernels.md.

`<date>-<gpu>.json` comes from gpu.py (and `-tests.json` beside it), `<date>-cpu-<processor>-<instructions>.json` from
report.py.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/kernels.md"


def slug(*names: str) -> str:
    """Names as a part of a file name: small letters, digits and hyphens."""
    return "-".join(re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") for name in names if name)


def of_gpus(folder: Path) -> list[Path]:
    """Results of gpu.py, the oldest first."""
    others = {*of_cpus(folder), *folder.glob("*-tests.json")}
    return [path for path in sorted(folder.glob("*.json")) if path not in others]


def of_cpus(folder: Path) -> list[Path]:
    """Results of report.py, the oldest first."""
    return sorted(folder.glob("????-??-??-cpu-*.json"))


def write_between(page: Path, what: str, table: str) -> None:
    """Puts the table between `<!-- what -->` and `<!-- end of what -->`."""
    begin, end = f"<!-- {what} -->", f"<!-- end of {what} -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{page} has no {begin} … {end}; write them where the table belongs")
    before, _, rest = text.partition(begin)
    page.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
