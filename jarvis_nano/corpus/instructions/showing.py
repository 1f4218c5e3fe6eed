"""What check_instructions.py prints: a table of the rules, the findings line by line, or one JSON object."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from jarvis_nano.corpus.instructions.checking import Report
from jarvis_nano.corpus.instructions.repairing import Written
from jarvis_nano.corpus.instructions.rules import RULES, Rule

_STYLES = {"error": "red", "warning": "yellow", "notice": "cyan"}
_ORDER = {"error": 0, "warning": 1, "notice": 2}
_WIDTH = 120  # of tables that go to a file or a pipe


def show_reports(reports: Sequence[Report], *, show: int) -> None:
    """The table, then `show` findings of each file (0: none), errors first, and what was not shown."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    counts: Counter[str] = sum((report.counts for report in reports), Counter())
    if counts:
        console.print(_table(counts))
    for report in reports:
        _show_findings(console, report, show)
    for report in reports:
        formats = ", ".join(f"{name} {n:,}" for name, n in report.formats.most_common()) or "none"
        found = ", ".join(_plural(report.count(severity), severity) for severity in _ORDER)
        console.print(Text(f"{report.path}: {report.rows:,} rows (formats: {formats}); {found}"), soft_wrap=True)
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        console.print(Text(note), style="dim", soft_wrap=True)


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _table(counts: Counter[str]) -> Table:
    table = Table("Rule", "", "Findings", "What it is", "What to do")
    table.columns[2].justify = "right"
    for rule in sorted((RULES[code] for code in counts), key=lambda rule: (_ORDER[rule.severity], -counts[rule.code])):
        severity = Text(rule.severity, style=_STYLES[rule.severity])
        table.add_row(rule.code, severity, f"{counts[rule.code]:,}", Text(rule.what), Text(rule.fix))
    return table


def _show_findings(console: Console, report: Report, show: int) -> None:
    """In the order of the lines, those of the graver rules where not all can be shown."""
    gravest = sorted(report.findings, key=lambda finding: _ORDER[finding.severity])[:show]
    for finding in sorted(gravest, key=lambda finding: (finding.line, finding.column)):
        place = f"{report.path}:{finding.line}" + (f":{finding.column}" if finding.column else "")
        line = Text.assemble(
            place, ": ", (finding.code, _STYLES[finding.severity]), f": {printable(finding.found)} → {finding.fix}"
        )
        console.print(line, soft_wrap=True)
    rest = sum(report.counts.values()) - len(gravest)
    if rest and show:
        console.print(f"… and {rest:,} more (--show {show + rest}, or --json)", style="dim", soft_wrap=True)


def printable(text: str) -> str:
    """A text of the file for the screen: one line, without what would move the cursor or turn the writing."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def show_written(written: Written, out: Path, *, show: int, to: str | None) -> None:
    """What became of the rows."""
    console = Console(highlight=False, soft_wrap=True)
    for change in written.changes[:show]:
        console.print(Text(f"{change.file}:{change.line}: {change.action}: {printable(change.why)}"))
    if show and len(written.changes) > show:
        console.print(f"… and {sum(written.counts.values()) - show:,} more", style="dim")
    for action in ("repaired", "dropped"):
        reasons = {code: n for (done, code), n in written.counts.items() if done == action}
        if reasons:
            named = ", ".join(f"{code} {n:,}" for code, n in sorted(reasons.items(), key=lambda item: -item[1]))
            console.print(Text(f"{action}: {named}"))
    form = f" in the format {to}" if to else ""
    console.print(Text(f"wrote {written.written:,} of {written.rows:,} rows{form} to {out}"))


def reports_as_json(reports: Sequence[Report], written: Written | None) -> str:
    """One object: the findings of each file (of a rule the first 10,000; counts are of all), and what was changed."""
    files = [
        {
            "file": report.path,
            "rows": report.rows,
            "formats": dict(report.formats),
            "errors": report.count("error"),
            "warnings": report.count("warning"),
            "notices": report.count("notice"),
            "counts": dict(report.counts),
            "findings": [finding.as_json() for finding in report.findings],
            "notes": report.notes,
        }
        for report in reports
    ]
    found: dict[str, object] = {"files": files}
    if written is not None:
        found["written"] = {
            "rows": written.rows,
            "written": written.written,
            "counts": [
                {"action": action, "rule": code, "rows": n} for (action, code), n in sorted(written.counts.items())
            ],
            "changes": [change._asdict() for change in written.changes],
        }
    # Half a surrogate pair, which UTF-8 has not, may be in what was found.
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


@contextmanager
def progress_bar(path: Path, what: str) -> Iterator[Callable[[int], None] | None]:
    """progress(bytes read) for a file, as a bar on a terminal that goes away; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal or not path.is_file():
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(f"{what} {path.name}", total=path.stat().st_size)
        yield lambda done: progress.update(task, completed=done)


def rule_list() -> Table:
    """All rules, for --rules."""
    table = Table("Rule", "Severity", "What it is", "What to do")
    rules: list[Rule] = list(RULES.values())
    for rule in rules:
        table.add_row(rule.code, Text(rule.severity, style=_STYLES[rule.severity]), Text(rule.what), Text(rule.fix))
    return table
