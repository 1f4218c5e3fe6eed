"""The doctor's findings printed for people: what was seen, why, and what to do."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jarvis_nano.tokenizer_lab.doctor import Diagnosis, Finding
from jarvis_nano.tokenizer_lab.doctor.finding import LEVELS
from jarvis_nano.tokenizer_lab.table import WIDTH

_COLORS = {"loses": "bold red", "risk": "yellow", "cost": "cyan", "note": "dim"}


def show(diagnosis: Diagnosis, source: str) -> None:
    """Print the diagnosis. source: the words for the texts it was made on."""
    console = Console(width=min(WIDTH, Console().width) if Console().is_terminal else WIDTH, highlight=False)
    console.print(
        f"{diagnosis.path}: {diagnosis.vocab_size} tokens, pattern {diagnosis.pattern}, {diagnosis.hash[:12]}",
        markup=False,
    )
    console.print(f"[bold]{_verdict(diagnosis)}[/]")
    came, tried = diagnosis.probes
    lines, of_lines = diagnosis.lines
    console.print(
        f"{came} of {tried} probing texts come back, and {lines} of {of_lines} lines of French ({source})", markup=False
    )
    for number, finding in enumerate(diagnosis.findings, start=1):
        _print(console, number, finding)


def _verdict(diagnosis: Diagnosis) -> str:
    counts = {level: sum(finding.level == level for finding in diagnosis.findings) for level in LEVELS}
    rest = ", ".join(f"{counts[level]} {_plural(level, counts[level])}" for level in ("cost", "note") if counts[level])
    if diagnosis.loses:
        return f"It loses text, for {counts['loses']} reason{'s' if counts['loses'] > 1 else ''}."
    if not diagnosis.healthy:
        return f"It loses nothing, but is not safe in every use: {counts['risk']} {_plural('risk', counts['risk'])}."
    return f"Healthy: it loses nothing{f' ({rest})' if rest else ''}."


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _print(console: Console, number: int, finding: Finding) -> None:
    share = f", in {finding.share:.0%} of the lines" if finding.share else ""
    head = Text.assemble((f"{LEVELS[finding.level]}{share}", _COLORS[finding.level]), f": {finding.what}")
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=7)
    grid.add_row(f"{number}.", head)
    for text, back in finding.seen:
        grid.add_row("   seen", Text(f"{text!r} -> {back!r}"))
    grid.add_row("   why", Text(finding.why))
    grid.add_row("   do", Text(finding.cure))
    console.print()
    console.print(grid)
