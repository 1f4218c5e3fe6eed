"""The report's HTML, from what was read. Every text that comes from a run is escaped; page.js draws the charts."""

from __future__ import annotations

import html
import os
import urllib.parse
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jarvis_nano.observe.diagnosis import Finding
from jarvis_nano.observe.diagnosis.finding import SEVERITIES, number
from jarvis_nano.observe.diagnosis.rules import RULES
from jarvis_nano.observe.report.charts import charts, heat_maps
from jarvis_nano.observe.report.reading import RunData, settings
from jarvis_nano.observe.report.words import date, duration, word
from jarvis_nano.observe.script_data import script_data
from jarvis_nano.observe.tags import GROUPS, Lang

# One colour a run, told apart by colour-blind readers too (Okabe & Ito 2008); page.css holds the colours.
N_COLOURS = 6
WIDE = ("train/loss", "eval/grammar")


def render(data: Sequence[RunData], out: Path, lang: Lang) -> str:
    """The whole page. `out` is where it will lie, for links to what lies beside a run."""
    curves, maps = charts(data, lang), heat_maps(data, lang)
    title = data[0].name if len(data) == 1 else word("comparison", lang, n=len(data))
    body = [
        _header(data, title, lang),
        _figures(data, lang),
        _diagnosis(data, lang),
        _links(data, out, lang),
        *(_group(group, curves, maps, lang) for group in GROUPS),
        _samples(data, lang),
        _settings(data, lang),
        _machine(data, lang),
        _missing(data, lang),
        f"<footer>{word('made_by', lang)} · {_text(word('all_inside', lang))}</footer>",
    ]
    return _PAGE.format(
        lang=lang,
        title=_text(f"{title} · {word('title', lang)}"),
        css=_asset("page.css"),
        body="\n".join(part for part in body if part),
        data=script_data(_payload(data, curves, maps, lang)),
        js=_asset("page.js"),
    )


_PAGE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
{css}
</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="data">{data}</script>
<script>
{js}
</script>
</body>
</html>
"""


def _payload(
    data: Sequence[RunData], curves: list[dict[str, Any]], maps: list[dict[str, Any]], lang: Lang
) -> dict[str, Any]:
    return {
        "lang": lang,
        "runs": [run.name for run in data],
        "charts": curves,
        "maps": maps,
        "samples": [[{"step": s["step"], "text": s["text"]} for s in run.samples] for run in data],
        "findings": [
            {"run": index, "first": f.first_step, "last": f.last_step, "severity": f.severity, "title": f.title(lang)}
            for index, run in enumerate(data)
            for f in run.findings
        ],
        "words": {key: word(key, lang) for key in ("step", "log", "now")},
    }


def _header(data: Sequence[RunData], title: str, lang: Lang) -> str:
    lines = []
    for index, run in enumerate(data):
        config = run.config
        facts = [config.preset, f"{config.model.n_layers} × {config.model.d_model}", config.train.optimizer]
        if run.started:
            facts.append(date(run.started, lang))
        mark = _mark(index) + f"<b>{_text(run.name)}</b> · " if len(data) > 1 else ""
        lines.append(f"<p>{mark}{_text(' · '.join(facts))}</p>")
    smoothing = (
        f'<label class="smooth">{word("smoothing", lang)} '
        '<input type="range" id="smoothing" min="0" max="0.98" step="0.02" value="0"></label>'
    )
    return f"""<header><span class="kind">{_text(word("title", lang))}</span>
<h1>{_text(title)}</h1>{"".join(lines)}{smoothing}</header>"""


def headline(run: RunData, lang: Lang) -> list[tuple[str, str]]:
    """(key of words.WORDS, figure) of what a run came to; what it did not measure is left out."""
    train, model = run.config.train, run.config.model
    weights = model.n_matmul_parameters
    weights += 0 if model.tie_embeddings else model.vocab_size * model.d_model
    weights += model.context * model.d_model if model.positions == "learned" else 0
    found: list[tuple[str, str]] = []
    for key, tag in (
        ("eval_loss", "eval/loss"),
        ("train_loss", "train/loss"),
        ("perplexity", "eval/perplexity"),
        ("bits_per_byte", "eval/bits_per_byte"),
        ("grammar", "eval/grammar"),
        ("induction", "probe/induction_best"),
    ):
        value = run.last(tag)
        if value is not None:
            found.append((key, number(value, tag, lang)))
    found.append(("parameters", _large(weights, lang)))
    if run.last_step:
        found.append(("steps_done", number(run.last_step, "", lang)))
        found.append(("tokens", _large(run.last_step * train.batch_size * model.context, lang)))
    speed = run.last("train/tokens_per_second")
    if speed is not None:
        found.append(("speed", number(speed, "train/tokens_per_second", lang)))
    if run.seconds:
        found.append(("duration", duration(run.seconds)))
    overhead = run.last("observe/overhead_percent")
    if overhead is not None:
        found.append(("overhead", number(overhead, "observe/overhead_percent", lang) + " %"))
    return found


def _figures(data: Sequence[RunData], lang: Lang) -> str:
    if len(data) == 1:
        tiles = [f"<div><b>{_text(figure)}</b><span>{_text(word(key, lang))}</span></div>"
                 for key, figure in headline(data[0], lang)]  # fmt: skip
        return f'<section class="figures">{"".join(tiles)}</section>'
    found = [dict(headline(run, lang)) for run in data]
    keys = list(dict.fromkeys(key for one in found for key in one))
    rows = [[word(key, lang), *(one.get(key, "–") for one in found)] for key in keys]
    return f'<section class="card wide">{_table(data, rows)}</section>'


def _diagnosis(data: Sequence[RunData], lang: Lang) -> str:
    parts = [f"<h2>{word('diagnosis', lang)}</h2>"]
    order = list(SEVERITIES)
    for index, run in enumerate(data):
        if len(data) > 1:
            parts.append(f"<h3>{_mark(index)}{_text(run.name)}</h3>")
        if not run.findings and run.curves:
            parts.append(f'<p class="healthy">{_text(word("healthy", lang, n=len(RULES)))}</p>')
        found = sorted(run.findings, key=lambda one: (order.index(one.severity), one.first_step))
        parts += [_finding(one, lang) for one in found]
    return f'<section id="diagnosis">{"".join(parts)}</section>'


def _finding(finding: Finding, lang: Lang) -> str:
    proof = "".join(f"<li><code>{_text(line)}</code></li>" for line in finding.proof(lang))
    steps = word("steps_range", lang, first=finding.first_step, last=finding.last_step)
    remedy = finding.remedy(lang)
    return f"""<article class="finding {finding.severity}"><p class="when"><span
>{_text(SEVERITIES[finding.severity][lang == "en"])}</span> {_text(steps)}</p>
<h3>{_text(finding.title(lang))}</h3><p>{_text(finding.seen(lang))}.</p>
<p class="remedy">→ {_text(remedy[:1].upper() + remedy[1:])}.</p>
<details><summary>{word("evidence", lang)}</summary><ul>{proof}</ul>
<p>{word("source", lang)} : {_text(finding.source)}</p></details></article>"""


def _links(data: Sequence[RunData], out: Path, lang: Lang) -> str:
    links = []
    for run in data:
        page = run.microscope()
        if page is None:
            continue
        place = urllib.parse.quote(Path(os.path.relpath(page.resolve(), out.resolve().parent)).as_posix())
        name = f" ({run.name})" if len(data) > 1 else ""
        links.append(f'<a class="link" href="{_text(place)}">{_text(word("microscope", lang) + name)} →</a>')
    return "".join(links)


def _group(group: str, curves: list[dict[str, Any]], maps: list[dict[str, Any]], lang: Lang) -> str:
    cards = [f'<div class="card{" wide" if chart["tag"] in WIDE else ""}" data-chart="{index}"></div>'
             for index, chart in enumerate(curves) if chart["group"] == group]  # fmt: skip
    wide = " wide" if group in ("french", "grammar") else ""  # they list their members' newest values too
    cards += [f'<div class="card map{wide}" data-map="{index}"></div>'
              for index, one in enumerate(maps) if one["group"] == group]  # fmt: skip
    if not cards:
        return ""
    title = _text(GROUPS[group][lang == "en"])
    return f'<section id="{group}"><h2>{title}</h2><div class="grid">{"".join(cards)}</div></section>'


def _samples(data: Sequence[RunData], lang: Lang) -> str:
    if not any(run.samples for run in data):
        return ""
    return f"""<section id="samples"><h2>{_text(word("samples", lang))}</h2><p>{_text(word("samples_about", lang))}</p>
<div class="card wide"><label class="time"><input type="range" id="time" min="0" value="0" step="1"
 aria-label="{word("step", lang)}"><output id="time-step"></output></label><div id="texts"></div></div></section>"""


def _settings(data: Sequence[RunData], lang: Lang) -> str:
    flat = [settings(run) for run in data]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [[key, *(_value(one.get(key, "–")) for one in flat)] for key in keys]
    parts = [f"<h2>{word('settings', lang)}</h2>"]
    if len(data) > 1:
        differ = [row for row in rows if len(set(row[1:])) > 1]
        parts.append(f"<h3>{_text(word('settings_differ', lang))}</h3>")
        parts.append(_table(data, differ) if differ else f"<p>{_text(word('settings_same', lang))}</p>")
    parts.append(f"<details><summary>{_text(word('settings_all', lang))}</summary>{_table(data, rows)}</details>")
    return f'<section id="settings">{"".join(parts)}</section>'


def _machine(data: Sequence[RunData], lang: Lang) -> str:
    keys = list(dict.fromkeys(key for run in data for key in run.machine))
    if not keys:
        return ""
    rows = [[key.replace("_", " "), *(_value(run.machine.get(key, "–")) for run in data)] for key in keys]
    return f'<section id="hardware"><h2>{word("machine", lang)}</h2>{_table(data, rows)}</section>'


def _missing(data: Sequence[RunData], lang: Lang) -> str:
    """One line, with its reason, for each part that a run has nothing for."""
    lines = []
    for run in data:
        lacks = [
            ("no_metrics", not run.curves),
            ("no_eval", bool(run.curves) and "eval/loss" not in run.curves),
            ("no_layers", not any(name.startswith("layers/") for name in run.families)),
            ("no_probes", not any(name.startswith("heads/") for name in run.families)),
            ("no_categories", "categories/loss" not in run.families),
            ("no_grammar", "grammar/accuracy" not in run.families),
            ("no_samples", not run.samples),
            ("no_microscope", run.microscope() is None),
            ("no_machine", not run.machine),
        ]
        name = f"{run.name} : " if len(data) > 1 else ""
        lines += [f"<li>{_text(name + word(key, lang))}</li>" for key, is_missing in lacks if is_missing]
    if not lines:
        return ""
    return f'<section id="missing"><h2>{_text(word("missing", lang))}</h2><ul>{"".join(lines)}</ul></section>'


def _table(data: Sequence[RunData], rows: list[list[str]]) -> str:
    heads = "".join(f"<th>{_mark(index)}{_text(run.name)}</th>" for index, run in enumerate(data))
    head = f"<thead><tr><th></th>{heads}</tr></thead>" if len(data) > 1 else ""
    lines = ["<tr><th>" + _text(name) + "</th>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"
             for name, *cells in rows]  # fmt: skip
    return f'<div class="scroll"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " | ".join(repr(one) for one in value)
    return str(value)


def _large(count: int, lang: Lang) -> str:
    """13,9 M, 120 k."""
    for unit, size in ((" G", 10**9), (" M", 10**6), (" k", 10**3)):
        if count >= size:
            return number(count / size, "", lang) + unit
    return str(count)


def _mark(index: int) -> str:
    return f'<i class="mark c{index % N_COLOURS}"></i>'


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
