"""The loss microscope as Markdown, for TensorBoard's page Text, which takes no colours: bold type and bars instead."""

from __future__ import annotations

import math
import re

from jarvis_nano.observe.readings import Cell, Reading, cells

# From this loss on, in nats, a token is bold and followed by its bar: one chance in 10, in 100, in 1,000.
BARS = ((math.log(1000), "█"), (math.log(100), "▅"), (math.log(10), "▂"))
N_GAINS = 10
_BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # wherever str.splitlines would cut

_SAY = {
    "fr": {
        "head": "Pas {step} : {loss} nats par token",
        "legend": "En gras, ce que le modèle n'attendait pas : ▂ moins d'une chance sur 10, ▅ sur 100, █ sur 1000.",
        "gains": "Ce qui a été appris depuis le pas {step} ({loss} nats)",
        "columns": "dans le texte | avant (nats) | maintenant | premier choix avant | maintenant",
        "none": "Aucun token n'est devenu plus probable.",
    },
    "en": {
        "head": "Step {step}: {loss} nats a token",
        "legend": "Bold: what the model did not expect: ▂ less than one chance in 10, ▅ in 100, █ in 1,000.",
        "gains": "What was learnt since step {step} ({loss} nats)",
        "columns": "in the text | before (nats) | now | first choice before | now",
        "none": "No token became likelier.",
    },
}


def as_markdown(reading: Reading, previous: Reading | None = None, lang: str = "fr") -> str:
    """A reading as finished Markdown (not to be escaped again), and what was learnt since the previous one.

    A paragraph a passage, then a table of the ten tokens whose loss fell the most; no table where `previous` is
    missing or read other passages. ValueError on a language other than "fr" and "en".
    """
    if lang not in _SAY:
        raise ValueError(f"no text in {lang!r}; expected {' or '.join(_SAY)}")
    say = _SAY[lang]
    parts = [f"**{say['head'].format(step=reading.step, loss=_number(reading.loss, lang))}**", say["legend"]]
    parts += [_paragraph([*cells(passage)]) for passage in reading.passages]
    if previous is not None and _texts(previous) == _texts(reading):
        parts.append(f"**{say['gains'].format(step=previous.step, loss=_number(previous.loss, lang))}**")
        parts.append(_table(reading, previous, lang))
    return "\n\n".join(parts) + "\n"


def gains(reading: Reading, previous: Reading, n: int = N_GAINS) -> list[tuple[int, int]]:
    """(passage, cell) of the n cells whose loss fell the most between two readings of the same passages, best first.

    Fewer where fewer fell; a loss that is no number has not fallen.
    """
    changes = []
    for p, (now, then) in enumerate(zip(reading.passages, previous.passages, strict=True)):
        for i, (cell, old) in enumerate(zip(cells(now), cells(then), strict=True)):
            changes.append((cell.loss - old.loss, p, i))
    return [(p, i) for change, p, i in sorted(c for c in changes if c[0] < 0)[:n]]


def _texts(reading: Reading) -> list[tuple[str, ...]]:
    return [passage.texts for passage in reading.passages]


def _paragraph(passage: list[Cell]) -> str:
    return "".join(_marked(cell.text, _bar(cell.loss)) for cell in passage)


def _bar(loss: float) -> str:
    if not math.isfinite(loss):
        return "?"
    return next((bar for least, bar in BARS if loss >= least), "")


def _marked(text: str, bar: str) -> str:
    """A cell's text, bold with its bar behind it. Bold type must not begin or end with a space."""
    body = text.strip(" ")
    lead = text[: len(text) - len(text.lstrip(" "))]
    tail = text[len(lead) + len(body) :]
    if not bar:
        return lead + _escaped(body) + tail
    if not body:
        return f"**␣**{bar}{text}"
    return f"{lead}**{_escaped(body)}**{bar}{tail}"


def _table(reading: Reading, previous: Reading, lang: str) -> str:
    found = gains(reading, previous)
    if not found:
        return _SAY[lang]["none"]
    columns = _SAY[lang]["columns"]
    rows = [f"| {columns} |", "|" + "---|" * len(columns.split("|"))]
    for p, i in found:
        now, then = [*cells(reading.passages[p])], [*cells(previous.passages[p])]
        context = "".join(cell.text for cell in now[max(0, i - 6) : i]).lstrip()
        text = _escaped(context) + _marked(now[i].text.replace("\n", "↵"), " ").rstrip()
        numbers = f"{_number(then[i].loss, lang)} | {_number(now[i].loss, lang)}"
        rows.append(f"| {text} | {numbers} | {_escaped(then[i].guess)} | {_escaped(now[i].guess)} |")
    return "\n".join(rows)


def _escaped(text: str) -> str:
    """One line of text that no Markdown or HTML reader takes for markup."""
    from jarvis_nano.observe.events import markdown  # here: it imports TensorBoard, which only its writers need

    lead = text[: len(text) - len(text.lstrip(" "))]
    body = _BREAK.sub("↵ ", text[len(lead) :])
    return lead + (markdown(body) if body else "")


def _number(value: float, lang: str) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.2f}".replace(".", "," if lang == "fr" else ".")
