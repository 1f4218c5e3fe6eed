"""The report's numbers are those of metrics.jsonl, its texts are escaped, it loads nothing, and it leaves out what is
missing."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jarvis_nano import runs
from jarvis_nano.config import ModelConfig, TrainConfig, to_json
from jarvis_nano.errors import UserError
from jarvis_nano.observe.metrics import Metrics, read_metrics, series
from jarvis_nano.observe.report import write_report
from jarvis_nano.observe.report.charts import MAX_COLUMNS, MAX_POINTS, thin
from jarvis_nano.observe.report.words import WORDS
from jarvis_nano.observe.tags import GROUPS, TAGS, describe, member_title, split

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ModelConfig(vocab_size=512, n_layers=2, n_heads=2, d_model=32)
TRAIN = TrainConfig(steps=400)


def make_run(folder, *, rich=True, n_rows=40, **train):
    """A run's folder as a training leaves it, without its weights."""
    folder.mkdir(parents=True)
    config = runs.RunConfig("nano", MODEL, dataclasses.replace(TRAIN, **train), "0123456789abcdef", "data/x")
    values = {"format": runs.FORMAT, **to_json(config)}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    with Metrics(folder, tensorboard=False) as metrics:
        for step in range(10, 10 * n_rows + 1, 10):
            metrics.scalars(step, {"train/loss": 2 + 4 * math.exp(-step / 100), "train/grad_norm": 1 / step})
            if not rich:
                continue
            metrics.scalars(step, {f"layers/grad_norm/{name}": step / 7 for name in ("embedding", "00", "01", "final")})
            if step % 100 == 0:
                metrics.scalars(step, {"eval/loss": 2.1 + 4 * math.exp(-step / 100), "eval/grammar": 0.75})
                metrics.scalars(step, {"categories/loss/accents": 1.25, "grammar/accuracy/subject_verb": 0.5})
                metrics.scalars(step, {f"heads/induction/00.0{head}": 0.1 for head in (0, 1)})
                metrics.text(step, "samples/generated", f"Il <b>était</b> & </script> {step}")
    return folder


def page_of(*folders, lang="fr"):
    text = write_report(folders, folders[0].parent / "page.html", lang=lang).read_text(encoding="utf-8")
    embedded = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    return text, json.loads(embedded)


def test_the_page_holds_the_numbers_of_the_metrics(tmp_path):
    run = make_run(tmp_path / "a")
    text, data = page_of(run)
    rows = read_metrics(run)
    drawn = {s["tag"]: (s["steps"], s["values"]) for chart in data["charts"] for s in chart["series"]}
    curves = {tag for row in rows for tag in row if tag.count("/") == 1}
    assert set(drawn) == curves
    for tag in curves:
        assert drawn[tag] == series(rows, tag)
    (heat,) = [one for one in data["maps"] if one["tag"] == "layers/grad_norm"]
    (one,) = heat["maps"]
    assert one["members"] == ["entrée", "00", "01", "sortie"]
    assert one["values"][1] == series(rows, "layers/grad_norm/00")[1]
    assert one["steps"] == series(rows, "layers/grad_norm/00")[0]
    assert {one["tag"] for one in data["maps"]} == {split(t)[0] for row in rows for t in row if t.count("/") > 1}
    final = 2.1 + 4 * math.exp(-4)
    assert f"<b>{final:.3g}</b>".replace(".", ",") in text


def test_train_and_held_out_share_a_chart(tmp_path):
    _, data = page_of(make_run(tmp_path / "a"))
    (loss,) = [chart for chart in data["charts"] if any(s["tag"] == "train/loss" for s in chart["series"])]
    assert [(s["tag"], s["held_out"]) for s in loss["series"]] == [("train/loss", False), ("eval/loss", True)]


def test_texts_are_escaped(tmp_path):
    name = 'a<img src=x onerror="alert(1)">&'
    text, data = page_of(make_run(tmp_path / name))
    assert html.escape(name) in text
    assert "<img" not in text
    assert text.count("</script>") == 2  # the page's own
    assert data["samples"][0][0]["text"] == "Il <b>était</b> & </script> 100"
    assert data["runs"] == [name]


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    run = make_run(tmp_path / "a")
    (run / "microscope.html").write_text("", encoding="utf-8")
    text, _ = page_of(run)
    assert not re.findall(r"(?:https?:)?//[a-z0-9]", re.sub(r"(?m)^\s*//.*$|\s// .*$", "", text))
    assert re.findall(r'(?:src|href|action)="([^"]*)"', text) == ["a/microscope.html"]
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_what_a_short_run_lacks_is_left_out_and_said(tmp_path, lang):
    index = lang == "en"
    text, data = page_of(make_run(tmp_path / "a", rich=False), lang=lang)
    for key in ("no_eval", "no_layers", "no_probes", "no_grammar", "no_categories", "no_samples", "no_machine"):
        assert html.escape(WORDS[key][index]) in text
    assert html.escape(WORDS["no_metrics"][index]) not in text
    assert data["maps"] == []
    for group in ("grammar", "attention"):
        assert f"<h2>{html.escape(GROUPS[group][index])}</h2>" not in text
    assert 'id="time"' not in text


def test_a_run_without_a_single_measurement_has_a_page(tmp_path):
    run = make_run(tmp_path / "a", rich=False)
    (run / "metrics.jsonl").unlink()
    (run / "samples.jsonl").unlink()
    text, data = page_of(run)
    assert data["charts"] == []
    assert html.escape(WORDS["no_metrics"][0]) in text
    assert "Rien à signaler" not in text


def test_numbers_that_are_not_finite_are_null_and_diagnosed(tmp_path):
    run = make_run(tmp_path / "a", rich=False)
    with Metrics(run, tensorboard=False) as metrics:
        metrics.scalars(410, {"train/loss": math.nan, "train/grad_norm": math.inf})
    text, data = page_of(run)
    assert data["charts"][0]["series"][0]["values"][-1] is None
    assert "train/loss n&#x27;est plus un nombre depuis le pas 410" in text
    (finding,) = data["findings"]
    assert (finding["first"], finding["last"], finding["severity"]) == (410, 410, "alarm")


def test_several_runs_are_overlaid_and_their_settings_compared(tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", learning_rate=0.025, n_rows=20)
    text, data = page_of(a, b, lang="en")
    assert data["runs"] == ["a", "b"]
    loss = data["charts"][0]["series"]
    assert [(s["run"], s["tag"]) for s in loss] == [(run, tag) for run in (0, 1) for tag in ("train/loss", "eval/loss")]
    assert loss[2]["values"] == series(read_metrics(b), "train/loss")[1]
    differ = text.split("What differs")[1].split("</table>")[0]
    assert re.findall(r"<tbody>(.*)</tbody>", differ) == [
        "<tr><th>train.learning_rate</th><td>0.001</td><td>0.025</td></tr>"
    ]
    assert "Comparison of 2 trainings" in text
    same, _ = page_of(a, a, lang="en")
    assert WORDS["settings_same"][1] in same


def test_both_languages_are_whole(tmp_path):
    run = make_run(tmp_path / "a")
    french, english = page_of(run), page_of(run, lang="en")
    assert '<html lang="fr">' in french[0]
    assert '<html lang="en">' in english[0]
    for tag in ("train/loss", "layers/grad_norm/00"):
        assert describe(tag).title("fr") != describe(tag).title("en")
    titles = [[one["title"] for one in data["charts"] + data["maps"]] for _, data in (french, english)]
    assert not set(titles[0]) & set(titles[1])
    for pair in (*WORDS.values(), *GROUPS.values(), *(tag.abouts for tag in TAGS.values())):
        assert len(pair) == 2
        assert all(pair)
        assert set(re.findall(r"{\w+}", pair[0])) == set(re.findall(r"{\w+}", pair[1]))
    assert all(tag.group in GROUPS for tag in TAGS.values())


def test_thinning_keeps_the_extremes_and_the_ends():
    values = [math.sin(i / 50) for i in range(20_000)]
    values[777], values[12_345], values[5_000] = 9.0, -9.0, math.nan
    steps, kept = thin(range(20_000), values)
    assert len(kept) <= MAX_POINTS
    assert (steps[0], steps[-1]) == (0, 19_999)
    assert steps == sorted(set(steps))
    points = dict(zip(steps, kept, strict=True))
    assert points[777] == 9.0
    assert points[12_345] == -9.0
    assert math.isnan(points[5_000])
    assert all(points[step] == values[step] for step in steps if step != 5_000)
    assert thin([1, 2], [3.0, 4.0]) == ([1, 2], [3.0, 4.0])


def test_a_long_run_gives_a_small_page(tmp_path):
    run = make_run(tmp_path / "a", n_rows=4000)
    text, data = page_of(run)
    assert max(len(s["steps"]) for chart in data["charts"] for s in chart["series"]) <= MAX_POINTS
    steps = data["maps"][0]["maps"][0]["steps"]
    assert len(steps) == MAX_COLUMNS
    assert (steps[0], steps[-1]) == (10, 40_000)
    assert len(text) < 400_000


def test_members_have_names_in_both_languages():
    assert member_title("accents", "fr") == "lettres accentuées"
    assert member_title("subject_verb", "en") == "subject and verb"
    assert member_title("not_in_the_table") == "not in the table"
    assert split("spectrum/stable_rank/blocks.0.mlp/up") == ("spectrum/stable_rank", "blocks.0.mlp/up")
    assert split("train/loss") is None


def test_the_script_writes_beside_the_run_and_refuses_what_is_none(tmp_path):
    run = make_run(tmp_path / "a")
    script = [sys.executable, ROOT / "scripts/report.py"]
    done = subprocess.run([*script, run, "--lang", "en"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(run / "report.html")
    assert (run / "report.html").is_file()
    assert not list(run.glob("*.part"))
    none = subprocess.run([*script, tmp_path / "nowhere"], capture_output=True, text=True)
    assert none.returncode == 2
    assert "is no run" in none.stderr
    with pytest.raises(UserError, match="no run is named"):
        write_report([])
    with pytest.raises(UserError, match="is a folder"):
        write_report([run], tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        write_report([run], run / "metrics.jsonl" / "report.html")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("metrics.jsonl", {"step": 1, "time": 1.0, "train/loss": "5.1"}),
        ("samples.jsonl", {"step": 1, "time": 1.0, "tag": "samples/generated"}),
    ],
)
def test_a_line_that_holds_something_else_is_named(tmp_path, file, line):
    run = make_run(tmp_path / "a")
    (run / file).write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"{file}, line 1"):
        write_report([run])


def test_the_report_needs_no_torch(tmp_path):
    program = "import sys; import jarvis_nano.observe.report; assert not {'torch', 'tensorboard'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
