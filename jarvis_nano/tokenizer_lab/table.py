"""The comparison as tables for a terminal of 100 columns: the best of each row is marked, and how to read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from jarvis_nano.tokenizer_lab.comparison import Comparison, french_share
from jarvis_nano.tokenizer_lab.texts import Texts

WIDTH = 100
COLUMNS = 5  # tokenizers side by side; more are shown in further tables
Value = Callable[[Comparison], float]


@dataclass(frozen=True)
class Row:
    """One figure: `best` is max or min, or None where none is better."""

    label: str
    value: Value
    shape: str = "{:.2f}"
    best: Callable[..., float] | None = None
    section: bool = False


ROWS = (
    Row("vocabulary, tokens", lambda c: c.vocab_size, "{:,.0f}"),
    Row("bytes per token", lambda c: c.bytes_per_token, best=max),
    Row("characters per token", lambda c: c.characters_per_token, best=max),
    Row("tokens per word (fertility)", lambda c: c.cuts.fertility, best=min),
    Row("words cut in two or more", lambda c: _share(c.cuts.cut_in_two, c.cuts.words), "{:.1%}", min),
    Row("words cut in three or more", lambda c: _share(c.cuts.cut_in_three, c.cuts.words), "{:.1%}", min, True),
    Row("unknown tokens", lambda c: c.unknown_share, "{:.2%}", min),
    Row("lines that do not come back", lambda c: _share(c.lines_lost, c.lines), "{:.1%}", min, True),
    Row("bits per byte, n-gram model", lambda c: c.bits.total, "{:.3f}", min),
    Row("  of these to mend what is lost", lambda c: c.bits.of_mends, "{:.3f}", min, True),
    Row("elisions kept (l' · eau)", lambda c: c.cuts.kept_share, "{:.1%}", max),
    Row("tokens per digit", lambda c: _share(c.cuts.digit_tokens, c.cuts.digits)),
    Row("ways to cut a 4-digit number", lambda c: len(c.number_shapes), "{:.0f}", min),
    Row("tokens for one of é è à ç ê …", lambda c: c.accents, best=min),
    Row("tokens for one of œ « » … ’ €", lambda c: c.signs, best=min),
    Row("of these characters lost", lambda c: len(c.lost_characters), "{:.0f}", min),
    Row("extra tokens: Capital", lambda c: c.capital, best=min),
    Row("extra tokens: CAPITALS", lambda c: c.upper, best=min, section=True),
    Row("vocabulary never used here", lambda c: _share(c.use.never, c.vocab_size), "{:.1%}", min),
    Row("vocabulary used once", lambda c: _share(c.use.once, c.vocab_size), "{:.1%}"),
    Row("tokens doubled by a space", lambda c: _share(c.use.doubled, c.vocab_size), "{:.1%}", min, True),
    Row("encoding, MB/s of one core", lambda c: c.megabytes_per_second, "{:,.0f}", max),
)
COSTS = (
    Row("embedding, M parameters: {}", lambda c: 0.0, "{:.2f}", min),
    Row("training MFLOP per byte: {}", lambda c: 0.0, "{:.2f}", min),
    Row("steps for 100 MB of text: {}", lambda c: 0.0, "{:,.0f}", min, True),
)
READING = (
    "* the best of its row. Bits per byte is the one figure that weighs everything: lower is better, and the unit is "
    "the same for all.\nWhat a tokenizer loses is charged there: the bits that it takes to put the text right. "
    "More bytes per token: fewer steps for the same text."
)


def show(found: Sequence[Comparison], texts: Texts, *, presets: Sequence[str] = ("nano", "mini", "small")) -> None:
    """Print the tables, at most 100 columns wide, and a few lines on how to read them."""
    console = Console(width=min(WIDTH, Console().width) if Console().is_terminal else WIDTH, highlight=False)
    console.print(f"measured on {texts.n_bytes / 1e6:.2f} MB: {texts.source}", markup=False)
    share = french_share(texts.measured)
    if share < 0.1:
        console.print(f"this text does not look French: {share:.0%} of its words are among the commonest of French")
    for begin in range(0, len(found), COLUMNS):
        part = found[begin : begin + COLUMNS]
        console.print(_table("", ROWS, part, found))
        console.print(_table("what the vocabulary costs", _cost_rows(presets), part, found))
        console.print(_cuts_table(part))
    console.print(_hashes(found))
    _print_losses(console, found)
    console.print(READING, markup=False)


def _table(title: str, rows: Sequence[Row], part: Sequence[Comparison], found: Sequence[Comparison]) -> Table:
    table = Table("", *(_short(one.name) for one in part), title=title or None, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        values = [_formatted(row, one) for one in found]
        best = _best(row, found)
        cells = []
        for one in part:
            cell = _formatted(row, one)
            marked = best is not None and cell == best and len(set(values)) > 1
            cells.append(f"[bold green]{cell}[/]*" if marked else f"{cell} ")
        table.add_row(row.label, *cells, end_section=row.section)
    return table


def _cost_rows(presets: Sequence[str]) -> list[Row]:
    def value(number: int, preset: str) -> Value:
        return lambda c: (
            c.costs[preset].embedding_parameters / 1e6,
            c.costs[preset].flops_per_byte / 1e6,
            c.costs[preset].steps_per_100_mb,
        )[number]

    return [
        Row(row.label.format(preset), value(number, preset), row.shape, row.best, row.section)
        for preset in presets
        for number, row in enumerate(COSTS)
    ]


def _cuts_table(part: Sequence[Comparison]) -> Table:
    table = Table("", *(_short(one.name) for one in part), title="how they cut", title_justify="left")
    for kind in ("elisions", "numbers"):
        for text in getattr(part[0], kind):
            table.add_row(text, *(_plain(getattr(one, kind)[text]) for one in part))
    return table


def _hashes(found: Sequence[Comparison]) -> Table:
    table = Table("tokenizer", "pattern", "SHA-256", "path", box=None, header_style="dim")
    for one in found:
        table.add_row(_plain(one.name), _plain(one.pattern), one.hash[:12], _plain(one.path))
    return table


def _print_losses(console: Console, found: Sequence[Comparison]) -> None:
    for one in found:
        if not one.lines_lost:
            continue
        console.print(f"{one.name}: {one.lines_lost:,} of {one.lines:,} lines do not come back", markup=False)
        for text, back in one.examples:
            console.print(f"    {text!r} -> {back!r}", markup=False)
        console.print(f"    why: scripts/train_tokenizer.py --doctor {one.path}", markup=False)


def _best(row: Row, found: Sequence[Comparison]) -> str | None:
    values = [row.value(one) for one in found]
    sound = [value for value in values if not math.isnan(value)]
    return None if row.best is None or not sound else row.shape.format(row.best(sound))


def _formatted(row: Row, one: Comparison) -> str:
    value = row.value(one)
    return "–" if math.isnan(value) else row.shape.format(value)


def _short(name: str) -> str:
    return _plain(name if len(name) <= 24 else f"…{name[-23:]}")


def _plain(text: str) -> str:
    """For rich, which reads [brackets] as markup."""
    return text.replace("[", r"\[")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
