"""report/index.html of a prepared corpus: one file without scripts and without anything from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from jarvis_nano.corpus.preparing.counts import KEPT

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d8dce2; --kept: #2f6fab; --gone: #c0763a;
  --paper: #fff; --shade: #f4f6f8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3ad; --line: #3a4048; --kept: #6aa9e6;
  --gone: #e0a06a; --paper: #16191d; --shade: #20252b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.note { color: var(--soft); margin: .2rem 0 .8rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem 2.4rem; margin: 1.2rem 0; }
.figures div { min-width: 7rem; } .figures b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } td, th { padding: .18rem .6rem .18rem 0; text-align: left;
  vertical-align: top; } th { color: var(--soft); font-weight: normal; border-bottom: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; width: 1%; }
td.name { white-space: nowrap; width: 1%; } td.soft { color: var(--soft); }
td.bar { min-width: 10rem; } td.bar i { display: block; height: .85em; margin-top: .3em; background: var(--kept);
  border-radius: 2px; min-width: 1px; } td.bar i.gone { background: var(--gone); }
svg text { fill: var(--soft); font-size: 12px; } rect.kept { fill: var(--kept); } rect.gone { fill: var(--gone); }
.key { color: var(--soft); } .key i { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }
details { border-top: 1px solid var(--line); padding: .4rem 0; } summary { cursor: pointer; }
blockquote { margin: .5rem 0; padding: .5rem .8rem; background: var(--shade); white-space: pre-wrap;
  overflow-wrap: anywhere; } blockquote footer { color: var(--soft); font-size: .85rem; margin-top: .4rem; }
pre { background: var(--shade); padding: .8rem; overflow-x: auto; font-size: .85rem; }
code.character { background: var(--shade); padding: 0 .35em; }
"""
_SHOWN = 40  # rows of a table


def page(
    manifest: Mapping[str, Any], figures: Mapping[str, Any], sentences: Mapping[str, str], classes: Mapping[str, int]
) -> str:
    """The whole page. figures: Counts.as_json(); sentences: what each reason means; classes: characters by class."""
    read, kept = manifest["counts"]["read"], manifest["counts"]["kept"]
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>A corpus of {kept:,} documents</title>",
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style>",
        "<h1>What became of the documents</h1>",
        f"<p class='note'>{escape(_inputs_sentence(manifest))}</p>",
        _headline(read, kept, manifest, figures),
        _section("Why documents were dropped", "", _bars(figures["reasons"], read, sentences, gone=True)),
        _section("Length of the documents", "In words; each bar reaches to twice its number.", _lengths(figures)),
        _section(
            "Characters of the kept text",
            "Before duplicates were taken out. What is rare is worth a look: it shows what cleaning has missed.",
            _bars(classes, sum(classes.values()), {}) + _rare(figures["characters"]),
        ),
        _section("Languages of the kept documents", "", _bars(figures["languages"], kept, {})),
        _section(
            "What normalising changed", "Documents in which a rule found work.", _bars(figures["rules"], read, {})
        ),
        _section("Masked", "", _bars(figures["masked"], 0, {})),
        _section("Passed over", "Records of the inputs that are no text.", _bars(figures["passed_over"], 0, {})),
        _section("Damaged", "Records that could not be read, by file.", _bars(figures["damaged"], 0, {}, gone=True)),
        _section("Sources", "", _sources(figures["sources"])),
        _section(
            "Templates without a rule",
            "Uses in the inputs; a line in a file given by --template-rules renders one.",
            _bars(figures["templates"], 0, {}),
        ),
        _section("Samples", "Chosen by a hash, not by hand.", _samples(figures["samples"], sentences)),
        _section("Inputs", "", _inputs(manifest["inputs"])),
        _section("Settings", "", _settings(manifest["settings"])),
    ]
    return "\n".join(parts) + "\n"


def _inputs_sentence(manifest: Mapping[str, Any]) -> str:
    inputs = manifest["inputs"]
    size = sum(entry["bytes"] for entry in inputs)
    licence = f" Licence as given: {manifest['licence']}." if manifest["licence"] else ""
    return f"Made from {len(inputs):,} files of {size / 1e6:,.1f} MB.{licence}"


def _headline(read: int, kept: int, manifest: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    before, after = figures["text_bytes"].get("read", 0), manifest["text_bytes"]
    cells = [
        ("documents read", f"{read:,}"),
        ("kept", f"{kept:,}"),
        ("of them", f"{100 * kept / max(1, read):.1f} %"),
        ("text read", f"{before / 1e6:,.1f} MB"),
        ("text kept", f"{after / 1e6:,.1f} MB"),
        ("damaged records", f"{sum(figures['damaged'].values()):,}"),
    ]
    return "<div class='figures'>" + "".join(f"<div><b>{b}</b><span>{a}</span></div>" for a, b in cells) + "</div>"


def _section(title: str, note: str, body: str) -> str:
    if not body:
        return ""
    return f"<h2>{escape(title)}</h2>" + (f"<p class='note'>{escape(note)}</p>" if note else "") + body


def _bars(counted: Mapping[str, int], of: int, sentences: Mapping[str, str], *, gone: bool = False) -> str:
    """A table: name, number, share of `of` (0: none), bar, and what the name means."""
    entries = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))
    if not entries:
        return ""
    largest = max(1, entries[0][1])
    rows = []
    for name, count in entries[:_SHOWN]:
        share = f"{100 * count / of:.2f} %" if of else ""
        bar = f"<i{' class=gone' if gone else ''} style='width:{100 * count / largest:.2f}%'></i>"
        rows.append(
            f"<tr><td class=name>{escape(name)}<td class=n>{count:,}<td class=n>{share}<td class=bar>{bar}"
            + (f"<td class=soft>{escape(sentences[name])}" if name in sentences else "")
        )
    return f"<table>{''.join(rows)}</table>" + _more(len(entries))


def _more(n: int) -> str:
    return f"<p class='note'>and {n - _SHOWN:,} more, in counts.json</p>" if n > _SHOWN else ""


def _lengths(figures: Mapping[str, Any]) -> str:
    """Bars of kept and dropped documents, one above the other, by powers of two."""
    kept, gone = figures["kept_words"], figures["dropped_words"]
    bins = sorted({*kept, *gone})
    if not bins:
        return ""
    tallest = max(kept.get(one, 0) + gone.get(one, 0) for one in bins)
    width, height, step = 44, 180, 50
    drawn = []
    for at, one in enumerate(bins):
        x, y = 10 + at * step, float(height + 20)
        for kind, counted in (("kept", kept), ("gone", gone)):
            size = height * counted.get(one, 0) / tallest
            y -= size
            if size:
                drawn.append(f"<rect class={kind} x={x} y={y:.1f} width={width} height={size:.1f} />")
        drawn.append(f"<text x={x + width / 2} y={height + 36} text-anchor=middle>{_short(int(one))}</text>")
        total = kept.get(one, 0) + gone.get(one, 0)
        drawn.append(f"<text x={x + width / 2} y={y - 4:.1f} text-anchor=middle>{_short(total)}</text>")
    size = f"viewBox='0 0 {20 + len(bins) * step} {height + 44}' width={20 + len(bins) * step}"
    key = "<p class=key><i style='background:var(--kept)'></i>kept<i style='background:var(--gone)'></i>dropped</p>"
    picture = f"<svg {size} style='max-width:100%' role=img aria-label='documents by length'>{''.join(drawn)}</svg>"
    return picture + key


def _short(n: int) -> str:
    """Four characters at most: 512, 8.2k, 131k, 4.2M."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if n >= size:
            return f"{n / size:.2g}{letter}" if n < 100 * size else f"{n / size:.0f}{letter}"
    return str(n)


def _rare(characters: Mapping[str, int]) -> str:
    """The characters that occur least, with their code points."""
    rare = sorted(characters.items(), key=lambda entry: (entry[1], entry[0]))[:60]
    shown = " ".join(
        f"<code class=character title='{count:,} times'>{escape(_visible(character))}</code>"
        for character, count in rare
    )
    return f"<details><summary>the {len(rare)} rarest of {len(characters):,}</summary><p>{shown}</p></details>"


def _visible(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{character} {code}" if character.isprintable() and not character.isspace() else code


def _sources(sources: Mapping[str, Sequence[int]]) -> str:
    if not sources:
        return ""
    entries = sorted(sources.items(), key=lambda entry: (-entry[1][1], entry[0]))
    rows = (
        f"<tr><td>{escape(name)}<td class=n>{documents:,}<td class=n>{size / 1e6:,.2f} MB"
        for name, (documents, size) in entries[:_SHOWN]
    )
    return f"<table><tr><th>source<th>documents<th>text</tr>{''.join(rows)}</table>" + _more(len(entries))


def _inputs(inputs: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        f"<tr><td>{escape(entry['name'])}<td>{escape(entry['format'])}<td class=n>{entry['bytes'] / 1e6:,.2f} MB"
        f"<td class=soft><code>{(entry['sha256'] or 'a pipe')[:16]}</code><td>{escape(entry.get('licence', ''))}"
        for entry in inputs[:_SHOWN]
    )
    table = f"<table><tr><th>file<th>format<th>size<th>SHA-256 begins<th>licence</tr>{''.join(rows)}</table>"
    more = len(inputs) - _SHOWN
    return table + (f"<p class='note'>and {more:,} more, in manifest.json</p>" if more > 0 else "")


def _settings(settings: Mapping[str, Any]) -> str:
    written = json.dumps(settings, ensure_ascii=False, indent=1)
    return f"<details><summary>as JSON</summary><pre>{escape(written)}</pre></details>"


def _samples(samples: Mapping[str, Sequence[Mapping[str, Any]]], sentences: Mapping[str, str]) -> str:
    names = sorted(samples, key=lambda name: (name != KEPT, name))
    return "".join(
        f"<details><summary><b>{escape(name)}</b> {escape(sentences.get(name, ''))}</summary>"
        + "".join(map(_quote, samples[name]))
        + "</details>"
        for name in names
    )


def _quote(sample: Mapping[str, Any]) -> str:
    known = {"rank", "id", "source", "text", "figures"}
    facts = [f"{key} {value}" for key, value in sample.items() if key not in known]
    facts += [f"{key} {value:.3g}" for key, value in _numbers(sample.get("figures", {}))]
    footer = " · ".join([str(sample["id"]), *facts])
    return f"<blockquote>{escape(sample['text'])}<footer>{escape(footer)}</footer></blockquote>"


def _numbers(figures: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    return ((key, value) for key, value in figures.items() if isinstance(value, (int, float)))
