"""The loss microscope's page: one HTML file that needs no network, with all passages under every state of the model.

microscope_look.py holds how it looks and moves; here is what it says.
"""

from __future__ import annotations

import html
import math
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jarvis_nano.observe.microscope_look import SCRIPT, STYLE
from jarvis_nano.observe.readings import Reading, cells, read_readings
from jarvis_nano.observe.replacing import replace_file
from jarvis_nano.observe.script_data import script_data

PAGE = "microscope.html"
# About 5 kB each with four passages of 96 tokens: the page of the longest run stays under half a megabyte.
MOST_READINGS = 60

_SAY = {
    "fr": {
        "title": "Le microscope de la perte",
        "lead": "Des textes que le modèle n'a jamais appris, token par token. Avant chaque token, le modèle a parié "
        "sur la suite ; la couleur dit à quel point le vrai token l'a surpris. Ce sont les mêmes textes à chaque "
        "évaluation : faites glisser le curseur pour remonter le temps.",
        "surprise": "La surprise",
        "learnt": "Ce qui a été appris depuis la dernière fois",
        "against": "par rapport à",
        "previous": "l'évaluation précédente",
        "first": "la première évaluation",
        "status": "pas {step} · perte moyenne {loss} nats, comme {one_in}",
        "change": "du pas {before} au pas {step} · perte moyenne {from} → {loss} nats ({change})",
        "curve": "perte moyenne des passages, en nats : {from} → {to}",
        "step": "pas {step}",
        "passage": "Passage {n}",
        "mean": "{loss} nats en moyenne",
        "one_in": "une chance sur {n}",
        "one_in_many": "moins d'une chance sur un million",
        "expected": "attendu",
        "nats": "{loss} nats",
        "times_more": "{n} × plus probable",
        "times_less": "{n} × moins probable",
        "same": "inchangé",
        "rank": "{n} autres tokens semblaient plus probables",
        "rank_2": "un seul autre token semblait plus probable",
        "guessed": "c'était le premier choix du modèle",
        "guess": "premier choix : {guess}",
        "guess_before": "premier choix avant : {guess}",
        "no_number": "la perte n'est plus un nombre",
        "worst": "Les dix plus grandes surprises",
        "best": "Les dix plus grands progrès",
        "context": "dans le texte",
        "loss": "perte (nats)",
        "choice": "premier choix",
        "only_one": "C'est la première évaluation : il n'y a encore rien à quoi la comparer.",
        "no_progress": "Aucun token n'est devenu plus probable entre ces deux évaluations.",
        "back": "évaluation précédente",
        "forward": "évaluation suivante",
        "play": "dérouler les évaluations",
        "foot": "La perte d'un token est −ln p, où p est la probabilité que le modèle lui donnait : 0 nat quand il en "
        "était sûr, 2,3 nats pour une chance sur 10, 4,6 pour une sur 100. Un espace ␣ ouvre le mot ; ↵ est une fin de "
        "ligne. Survolez un token pour voir ce que le modèle attendait, et comment sa perte a évolué.",
        "script": "Cette page a besoin de JavaScript (rien n'est chargé depuis le réseau).",
    },
    "en": {
        "title": "The loss microscope",
        "lead": "Texts that the model never learnt from, token by token. Before each token the model made a bet on "
        "what comes next; the colour shows how much the true token surprised it. The texts are the same at every "
        "evaluation: move the slider to go back in time.",
        "surprise": "The surprise",
        "learnt": "What was learnt since the last time",
        "against": "compared with",
        "previous": "the evaluation before",
        "first": "the first evaluation",
        "status": "step {step} · mean loss {loss} nats, like {one_in}",
        "change": "from step {before} to step {step} · mean loss {from} → {loss} nats ({change})",
        "curve": "mean loss of the passages, in nats: {from} → {to}",
        "step": "step {step}",
        "passage": "Passage {n}",
        "mean": "{loss} nats on average",
        "one_in": "one chance in {n}",
        "one_in_many": "less than one chance in a million",
        "expected": "expected",
        "nats": "{loss} nats",
        "times_more": "{n} × likelier",
        "times_less": "{n} × less likely",
        "same": "unchanged",
        "rank": "{n} other tokens seemed likelier",
        "rank_2": "one other token seemed likelier",
        "guessed": "it was the model's first choice",
        "guess": "first choice: {guess}",
        "guess_before": "first choice before: {guess}",
        "no_number": "the loss is no longer a number",
        "worst": "The ten greatest surprises",
        "best": "The ten greatest gains",
        "context": "in the text",
        "loss": "loss (nats)",
        "choice": "first choice",
        "only_one": "This is the first evaluation: there is nothing to compare it with yet.",
        "no_progress": "No token became likelier between these two evaluations.",
        "back": "evaluation before",
        "forward": "next evaluation",
        "play": "play the evaluations",
        "foot": "The loss of a token is −ln p, with p the probability that the model gave it: 0 nats when it was sure, "
        "2.3 nats for one chance in 10, 4.6 for one in 100. A space ␣ opens the word; ↵ is the end of a line. Point at "
        "a token to see what the model expected, and how its loss has moved.",
        "script": "This page needs JavaScript (nothing is loaded from the network).",
    },
}


def page(readings: Sequence[Reading], lang: str = "fr", *, name: str = "") -> str:
    """The HTML of some readings, in French ("fr") or English ("en"); `name` is the run's.

    Shown are the passages of the last reading, under at most MOST_READINGS of those that read the same passages (see
    `spread`), losses rounded to 2 digits. ValueError on another language, or where there is no reading.
    """
    if lang not in _SAY:
        raise ValueError(f"no page in {lang!r}; expected {' or '.join(_SAY)}")
    if not readings:
        raise ValueError("no reading to show; the microscope looks at every evaluation")
    say = _SAY[lang]
    title = html.escape(f"{say['title']} · {name}" if name else say["title"])
    data = script_data({**_data(readings), "lang": lang, "say": say})
    return f"""<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{title}</h1><p>{html.escape(say["lead"])}</p></header>
<noscript><p>{html.escape(say["script"])}</p></noscript>
<section id="controls">
<div id="time"><button id="back"></button><button id="play"></button><button id="forward"></button>
<div id="track"><svg id="curve" viewBox="0 0 1000 60" preserveAspectRatio="none"></svg>
<input id="when" type="range" min="0" step="1"></div></div>
<p id="status"></p>
<div id="views"><button id="surprise"></button><button id="learnt"></button>
<label id="against-label"><span></span> <select id="against"></select></label></div>
<div id="legend"></div>
</section>
<main id="passages"></main>
<section id="list"></section>
<footer>{html.escape(say["foot"])}</footer>
<div id="tip" hidden></div>
<script id="data" type="application/json">{data}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def write_page(run: str | Path, lang: str = "fr") -> Path:
    """Write `<run>/microscope.html` from `<run>/microscope.jsonl`, beside itself and renamed; returns its path.

    UserError where the run has no readings yet, or its file is damaged.
    """
    run = Path(run)
    path = run / PAGE
    text = page(read_readings(run), lang, name=run.resolve().name)
    replace_file(path, text.encode())
    return path


def spread(readings: Sequence[Reading], most: int = MOST_READINGS) -> list[Reading]:
    """At most `most` (3 or more) of the readings: the first, the last two, and others spread over log(1 + step).

    A model learns fastest at the beginning, so the readings lie closest there.
    """
    if len(readings) <= most:
        return list(readings)
    places = [math.log1p(reading.step) for reading in readings]
    last = len(readings) - 2
    chosen, at = {0, last, last + 1}, 0
    for left in range(most - 3, 0, -1):
        # Equal steps over what is left: the log's wide gaps at the beginning cost nothing of the number in the end.
        wanted = places[at] + (places[last] - places[at]) / (left + 1)
        at = min(max(at + 1, bisect_left(places, wanted)), last)
        chosen.add(at)
    return [readings[i] for i in sorted(chosen)]


def _data(readings: Sequence[Reading]) -> dict[str, Any]:
    """What the script reads: the texts once, and for each reading the losses, guesses and ranks of every cell."""
    shown = [passage.texts for passage in readings[-1].passages]
    same = [reading for reading in readings if [passage.texts for passage in reading.passages] == shown]
    words: dict[str, int] = {}  # each guess once: they repeat
    rows = []
    for reading in spread(same):
        passages = [list(cells(passage)) for passage in reading.passages]
        rows.append(
            {
                "step": reading.step,
                "losses": [[_rounded(cell.loss) for cell in passage] for passage in passages],
                "guesses": [[words.setdefault(cell.guess, len(words)) for cell in passage] for passage in passages],
                "ranks": [[cell.rank for cell in passage] for passage in passages],
            }
        )
    texts = [[cell.text for cell in cells(passage)] for passage in readings[-1].passages]
    return {"texts": texts, "readings": rows, "words": list(words)}


def _rounded(loss: float) -> float | None:
    return round(loss, 2) if math.isfinite(loss) else None
