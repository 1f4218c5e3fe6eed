"""scripts/check_instructions.py: its flags and what they do. The tokenizer and the template come from above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from jarvis_nano.corpus.instructions import showing
from jarvis_nano.corpus.instructions.checking import Against, Checks, Report, check_file
from jarvis_nano.corpus.instructions.converting import Render
from jarvis_nano.corpus.instructions.formats import parse
from jarvis_nano.corpus.instructions.messages import Message
from jarvis_nano.corpus.instructions.reading import open_rows
from jarvis_nano.corpus.instructions.repairing import Written, refuse_output, write_repaired
from jarvis_nano.corpus.instructions.rules import refuses
from jarvis_nano.corpus.instructions.texts import TokenizerUse
from jarvis_nano.corpus.sources.opening import STDIN
from jarvis_nano.errors import UserError

Format = Literal["seed", "alpaca", "sharegpt", "openai", "prompt", "text"]


@dataclass(frozen=True)
class CheckInstructions:
    """Check files of instructions for tuning: form, texts, calls, repeats; repair them; convert between formats.

    Exit code 0: no errors (warnings are none), 1: errors were found, 2: it could not be done.

    Example: python scripts/check_instructions.py instructions.jsonl --fix repaired.jsonl
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...")] = ()
    """JSON lines or a JSON array in any of six formats, plain or .gz, .bz2, .zst."""
    fix: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Write the rows here, repaired; rows beyond repair and exact duplicates are dropped, each with its reason."""
    to: Format | None = None
    """Write the rows in this format; with --fix repaired, with --out as they are."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Where --to writes to, without repairs."""
    json: bool = False
    """Print one JSON object."""
    tokenizer: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Also check that this tokenizer gives every text back."""
    context: int = 0
    """Also check that every conversation fits so many tokens; needs --tokenizer."""
    against: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The evaluation file, whose prompts must not be in the others."""
    language: Literal["fr", "any"] = "fr"
    """fr: messages in other languages are told."""
    ignore: tuple[str, ...] = ()
    """Rules to leave out, by their codes."""
    strict: bool = False
    """Warnings count as errors for the exit code."""
    show: int = 50
    """Findings shown for each file, the graver ones first."""
    rules: bool = False
    """List the rules and do nothing else."""


def check_instructions(
    settings: CheckInstructions,
    *,
    special_tokens: Sequence[str],
    use_tokenizer: Callable[[Path, int], TokenizerUse],
    render: Render,
) -> int:
    """Check, print, write; the exit code, 0 or 1. UserError on flags that do not fit and files that cannot be read.

    use_tokenizer(folder, context): what a tokenizer can do; render: a conversation as templated text.
    """
    if settings.rules:
        Console(highlight=False).print(showing.rule_list())
        return 0
    _refuse_misfits(settings)
    checks = Checks(
        special_tokens=tuple(special_tokens),
        french=settings.language == "fr",
        tokenizer=use_tokenizer(settings.tokenizer, settings.context) if settings.tokenizer else None,
        against=_read_against(settings.against) if settings.against else None,
        ignore=frozenset(settings.ignore),
    )
    reports: list[Report] = []
    for path in settings.files:
        with showing.progress_bar(path, "checking") as progress:
            reports.append(check_file(path, checks, progress=progress))
    written = _write(settings, checks, render)
    if settings.json:
        print(showing.reports_as_json(reports, written))
    else:
        showing.show_reports(reports, show=settings.show)
        if written is not None and (out := settings.fix or settings.out):
            showing.show_written(written, out, show=settings.show, to=settings.to)
    counted = ("error", "warning") if settings.strict else ("error",)
    return int(any(report.count(severity) for report in reports for severity in counted))


def _refuse_misfits(settings: CheckInstructions) -> None:
    if not settings.files:
        raise UserError("no file to check: give one, such as instructions.jsonl; --help shows what else there is")
    if settings.context < 0 or (settings.context and not settings.tokenizer):
        raise UserError("--context counts tokens: give a positive number, and the tokenizer with --tokenizer DIR")
    if settings.show < 0:
        raise UserError(f"--show is {settings.show}; it must be at least 0")
    if settings.to and not (settings.fix or settings.out):
        raise UserError(f"--to {settings.to} needs a file to write: --out OUT, or --fix OUT to repair the rows as well")
    if settings.out and not settings.to:
        raise UserError("--out is for --to FORMAT; a repaired file is written with --fix OUT")
    if (settings.out or settings.fix) and STDIN in settings.files:
        raise UserError("the standard input cannot be read twice; write it to a file first")
    if settings.out and settings.fix:
        raise UserError("--out writes the rows as they are, --fix repaired; give one of the two")
    if out := settings.fix or settings.out:  # told before a long check, not behind it
        refuse_output(settings.files, out, settings.against)


def _write(settings: CheckInstructions, checks: Checks, render: Render) -> Written | None:
    out = settings.fix or settings.out
    if out is None:
        return None
    with showing.progress_bar(settings.files[0], "writing") as progress:
        return write_repaired(
            settings.files,
            out,
            checks,
            repair=settings.fix is not None,
            to=settings.to,
            render=render,
            progress=progress if len(settings.files) == 1 else None,
        )


def _read_against(path: Path) -> Against:
    """The conversations of the evaluation file; its own faults are not told here."""
    rows: list[tuple[int, list[Message]]] = []
    with open_rows(path) as found:
        for row in found:
            if row.record is None:
                continue
            conversation, faults = parse(row.record)
            if conversation and conversation.messages and not any(map(refuses, faults)):
                rows.append((row.line, conversation.messages))
    if not rows:
        raise UserError(f"{path} holds no conversation to compare with; check it by itself first")
    return Against(str(path), rows)
