"""The microscope's losses are the softmax's, its file survives what metrics.jsonl survives, its page shows the text."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard import plugin_util

from jarvis_nano.config import ModelConfig
from jarvis_nano.data.shards import Shards
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.observe import microscope_page, microscope_text
from jarvis_nano.observe.microscope import Microscope, choose_passages
from jarvis_nano.observe.microscope_page import page, spread, write_page
from jarvis_nano.observe.microscope_text import as_markdown
from jarvis_nano.observe.readings import Passage, Reading, ReadingFile, cells, read_readings
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_training import train_tokenizer

SENTENCES = ["L'été, le renard court. ", "Il était une fois un chat. ", "Le chat dort près de l'eau. "]
HOSTILE = "</script><script>document.title='gone'</script>&lt;b&gt; <b>*gras*</b> | `x`"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    return train_tokenizer(SENTENCES * 3, tmp_path_factory.mktemp("tokenizer"), vocab_size=300).tokenizer


def _model(tokenizer: Tokenizer, dropout: float = 0.0) -> Transformer:
    torch.manual_seed(3)
    size = {"context": 64, "n_layers": 1, "n_heads": 2, "d_model": 16, "dropout": dropout}
    model = Transformer(ModelConfig(vocab_size=tokenizer.vocab_size, **size))
    torch.nn.init.normal_(model.token_embedding.weight, std=0.5)  # so that some tokens are likelier than others
    return model


def _reading(step: int, losses: list[float], texts: list[str] | None = None) -> Reading:
    texts = texts or [f" mot{i}" for i in range(len(losses))]
    ranks = tuple(1 if loss < 1 else 5 for loss in losses)
    passage = Passage(tuple(texts), tuple(losses), tuple(f" devin{i % 3}" for i in range(len(losses))), ranks)
    return Reading(step, 1.8e9 + step, (passage,))


def test_losses_guesses_and_ranks_are_those_of_a_plain_softmax(tokenizer):
    model = _model(tokenizer)
    passages = [tokenizer.encode(text) for text in ("L'été, le chat court.", "Il dort.")]
    reading = Microscope(tokenizer, passages).look(model, 40)
    assert reading.step == 40
    every = []
    for ids, seen in zip(passages, reading.passages, strict=True):
        context = [tokenizer.special_id("</s>"), *ids.tolist()]
        for t, target in enumerate(ids.tolist()):
            with torch.no_grad():
                logits = model(torch.tensor([context[: t + 1]]))[0, -1].double().numpy()
            p = np.exp(logits) / np.exp(logits).sum()
            assert seen.losses[t] == pytest.approx(-math.log(p[target]), abs=1e-4)
            order = sorted(range(len(p)), key=lambda i: -p[i])
            assert seen.ranks[t] == order.index(target) + 1
            assert seen.guesses[t] == tokenizer.piece(order[0])
            every.append(-math.log(p[target]))
        assert seen.text == tokenizer.decode(ids)
    assert reading.loss == pytest.approx(np.mean(every), abs=1e-4)


def test_a_look_changes_neither_the_model_s_mode_nor_the_random_numbers(tokenizer):
    model = _model(tokenizer, dropout=0.5).train()
    microscope = Microscope(tokenizer, [tokenizer.encode("Le chat dort.")])
    state = torch.get_rng_state()
    first, second = microscope.look(model, 1), microscope.look(model, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert first.passages == second.passages  # no dropout
    model.eval()
    microscope.look(model, 3)
    assert not model.training


def test_a_guess_beyond_the_tokenizer_s_ids_is_shown_by_its_number(tokenizer):
    last = tokenizer.vocab_size + 4
    model = Transformer(ModelConfig(vocab_size=last + 1, context=16, n_layers=1, n_heads=2, d_model=16))
    ids = tokenizer.encode("Le chat")
    model.head.weight.data.zero_()
    model.head.weight.data[last] = model.hidden(torch.tensor([[3]]))[0, 0].detach()  # as the passage begins
    guesses = Microscope(tokenizer, [ids]).look(model, 0).passages[0].guesses
    assert f"<{last}>" in guesses


def test_the_mode_is_restored_where_the_passage_is_too_long(tokenizer):
    model = _model(tokenizer).train()
    with pytest.raises(UserError, match="do not fit the model's context of 64"):
        Microscope(tokenizer, [np.full(65, 20)]).look(model, 0)
    assert model.training


@pytest.mark.parametrize("passages", [[], [np.zeros(0, dtype=np.int64)]])
def test_a_microscope_without_text_says_what_to_do(tokenizer, passages):
    with pytest.raises(UserError, match="no held-out text for the microscope"):
        Microscope(tokenizer, passages)


def test_characters_of_several_tokens_are_shown_whole_and_their_losses_add_up(tokenizer):
    text = "Un 🦊 à Ÿ."
    ids = tokenizer.encode(text)
    passage = Microscope(tokenizer, [ids]).look(_model(tokenizer), 0).passages[0]
    assert len(passage.texts) == len(ids)
    assert passage.text == text
    whole = [*cells(passage)]
    assert "".join(cell.text for cell in whole) == text
    assert all(cell.text for cell in whole)
    assert sum(cell.loss for cell in whole) == pytest.approx(sum(passage.losses))
    fox = next(cell for cell in whole if "🦊" in cell.text)
    end = next(t for t, part in enumerate(passage.texts) if "🦊" in part)
    begin = end - 3 if passage.texts[end - 1] == "" else end
    assert begin < end, "the fox should take several tokens here"
    begin = next(t for t in range(end, -1, -1) if t == 0 or passage.texts[t - 1])
    assert fox.loss == pytest.approx(sum(passage.losses[begin : end + 1]))
    assert fox.guess == passage.guesses[begin]
    assert fox.rank == max(passage.ranks[begin : end + 1])


def test_a_passage_cut_within_a_character_ends_with_a_replacement_sign(tokenizer):
    ids = tokenizer.encode("Le 🦊")[:-1]
    passage = Microscope(tokenizer, [ids]).look(_model(tokenizer), 0).passages[0]
    assert passage.text == tokenizer.decode(ids)
    assert passage.text.endswith("\ufffd")
    assert [*cells(passage)][-1].text.endswith("\ufffd")


def test_a_last_token_without_a_character_is_not_lost():
    whole = [*cells(Passage(("a", ""), (1.0, 2.0), ("x", "y"), (3, 4)))]
    assert whole == [("a", 1.0, "x", 3), ("", 2.0, "y", 4)]


def _shards(documents: list[list[int]], end: int = 3) -> Shards:
    ids = np.array([i for document in documents for i in [*document, end]], dtype=np.uint16)
    middle = len(ids) // 2
    return Shards(Path(), "val", (ids[:middle], ids[middle:]), np.array([0, middle, len(ids)]), {"end_id": end})


def test_passages_begin_documents_all_over_the_split_and_are_always_the_same():
    rng = np.random.default_rng(5)
    documents = [rng.integers(10, 5000, n).tolist() for n in rng.integers(5, 80, 200)]
    passages = choose_passages(_shards(documents), n=4, length=40)
    assert [len(passage) for passage in passages] == [40] * 4
    found = [next(i for i, d in enumerate(documents) if d[:40] == passage.tolist()) for passage in passages]
    assert [i // 50 for i in found] == [0, 1, 2, 3]
    for i in found:  # the first in its quarter that is long enough, but for the documents on the border
        assert all(len(d) < 40 for d in documents[50 * (i // 50) + 8 : i])
    again = choose_passages(_shards(documents), n=4, length=40)
    assert all((a == b).all() for a, b in zip(passages, again, strict=True))


def test_short_documents_give_the_longest_and_few_give_fewer():
    assert [p.tolist() for p in choose_passages(_shards([[7, 8], [9, 10, 11], [12]]), n=1, length=40)] == [[9, 10, 11]]
    assert [p.tolist() for p in choose_passages(_shards([[7] * 30]), n=4, length=12)] == [[7] * 12]
    empty = Shards(Path(), "val", (), np.array([0]), {"end_id": 3})
    assert choose_passages(empty) == []


def test_readings_come_back_as_written_and_a_resume_forgets_the_later_ones(tmp_path):
    with ReadingFile(tmp_path / "run") as file:
        for step in (10, 20, 30):
            file.append(_reading(step, [1.23456, step / 7, math.nan], ["«\u00a0", "", "é\n"]))
        file.truncate(20)
        file.append(_reading(30, [0.5, 0.25, 0.125]))
    found = read_readings(tmp_path / "run")
    assert [reading.step for reading in found] == [10, 20, 30]
    assert found[1].passages[0].texts == ("«\u00a0", "", "é\n")
    assert found[1].passages[0].losses[:2] == (1.235, round(20 / 7, 3))
    assert math.isnan(found[1].passages[0].losses[2])
    assert found[2] == _reading(30, [0.5, 0.25, 0.125])
    lines = (tmp_path / "run/microscope.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["passages"][0]["losses"][2] is None
    assert "é" in lines[0]


def test_a_half_written_reading_is_passed_over_then_cut_off(tmp_path):
    with ReadingFile(tmp_path) as file:
        file.append(_reading(1, [2.0]))
    path = tmp_path / "microscope.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 2, "time": 1.0, "passa')
    assert [reading.step for reading in read_readings(tmp_path)] == [1]
    with ReadingFile(tmp_path) as file:
        file.append(_reading(3, [1.0]))
    assert [reading.step for reading in read_readings(tmp_path)] == [1, 3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{damaged", "expected one JSON object"),
        ('{"step": 2, "time": 1.0}', "found no reading"),
        ('{"step": 2, "time": 1.0, "passages": [{"texts": ["a"], "losses": [1.0]}]}', "found no reading"),
        ('{"step": 2, "time": 1, "passages": [{"texts": ["a"], "losses": [], "guesses": [], "ranks": []}]}', "of one"),
        ('{"step": 2, "time": 1, "passages": [{"texts": [1], "losses": [1], "guesses": [""], "ranks": [1]}]}', "found"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    with ReadingFile(tmp_path) as file:
        file.append(_reading(1, [2.0]))
        file.append(_reading(3, [2.0]))
    path = tmp_path / "microscope.jsonl"
    first, second = path.read_text(encoding="utf-8").splitlines()
    path.write_text(f"{first}\n{line}\n{second}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"microscope\.jsonl, line 2: .*{message}"):
        read_readings(tmp_path)


class _Page(HTMLParser):
    """What a browser takes a page for: its elements, and the text of #data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.data, self._inside, self.titles = "", False, ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self._inside = ("id", "data") in attributes
        for name, value in attributes:
            assert name not in ("src", "href"), f"{tag} would load {value}"

    def handle_data(self, data):
        if self._inside:
            self.data += data

    def handle_endtag(self, tag):
        self._inside = False


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_the_page_holds_the_texts_and_losses_and_takes_no_text_for_html(lang):
    texts = ["Le", HOSTILE, "", "🦊", "\n«\u00a0fin\u00a0»\u2028"]
    readings = [_reading(step, [4 / step, 1.0, 2.0, 0.5, math.nan], texts) for step in (1, 2)]
    text = page(readings, lang, name="<run>")
    parsed = _Page(text)
    assert parsed.elements.count("script") == 2
    assert "b" not in parsed.elements
    assert "<run>" not in text
    assert not {"<", ">", "&"} & set(parsed.data)  # nothing there could end the element
    data = json.loads(parsed.data)
    assert data["texts"] == [["Le", HOSTILE, "🦊", "\n«\u00a0fin\u00a0»\u2028"]]
    assert [reading["losses"] for reading in data["readings"]] == [[[4.0, 1.0, 2.5, None]], [[2.0, 1.0, 2.5, None]]]
    assert [data["words"][i] for i in data["readings"][0]["guesses"][0]] == [" devin0", " devin1", " devin2", " devin1"]
    assert f'<html lang="{lang}">' in text
    assert ("Le microscope de la perte" in text) == (lang == "fr")
    assert ("The loss microscope" in text) == (lang == "en")
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_both_languages_say_the_same_things():
    for words in (microscope_page._SAY, microscope_text._SAY):
        assert set(words["fr"]) == set(words["en"])
        for key, text in words["fr"].items():
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", words["en"][key])), key
    used = set(re.findall(r"say\.(\w+)", microscope_page.SCRIPT)) - {"replace"}
    assert used <= set(microscope_page._SAY["fr"])


def test_a_page_wants_a_language_it_has_and_a_reading():
    with pytest.raises(ValueError, match="no page in 'de'; expected fr or en"):
        page([_reading(1, [1.0])], "de")
    with pytest.raises(ValueError, match="no reading"):
        page([], "fr")


def test_a_long_run_s_page_stays_small_and_keeps_the_first_and_the_last_two():
    readings = [_reading(step, [1.0] * 96) for step in range(0, 50_001, 50)]
    kept = [reading.step for reading in spread(readings)]
    assert kept[0] == 0
    assert kept[-2:] == [49_950, 50_000]
    assert kept == sorted(set(kept))
    assert len(kept) == microscope_page.MOST_READINGS
    assert sum(step < 1000 for step in kept) >= 15  # densest at the beginning
    gaps = np.diff(kept)[:-2]
    assert (gaps[1:] >= gaps[:-1] - 50).all()  # wider and wider, but for one evaluation
    assert np.diff(np.log1p(kept))[10:].max() < 0.2
    assert len(page(readings)) < 200_000
    assert spread(readings[:60]) == readings[:60]


def test_readings_of_other_passages_are_left_out():
    other = _reading(1, [1.0, 2.0], [" autre", " texte"])
    data = json.loads(_Page(page([other, _reading(2, [1.0]), _reading(3, [0.5])])).data)
    assert [reading["step"] for reading in data["readings"]] == [2, 3]


def test_the_page_is_written_beside_and_renamed(tmp_path, monkeypatch):
    with ReadingFile(tmp_path) as file:
        file.append(_reading(5, [1.0]))
        assert write_page(tmp_path, "en") == tmp_path / "microscope.html"
        before = (tmp_path / "microscope.html").read_text(encoding="utf-8")
        assert tmp_path.name in before
        file.append(_reading(6, [1.0]))

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", die)
            with pytest.raises(KeyboardInterrupt):
                write_page(tmp_path, "en")
        assert (tmp_path / "microscope.html").read_text(encoding="utf-8") == before
    with pytest.raises(UserError, match=r"no microscope\.jsonl"):
        write_page(tmp_path / "elsewhere")


def _shown(markdown: str) -> str:
    """The text that TensorBoard's page shows."""
    markup = plugin_util.markdown_to_safe_html(markdown)
    assert "<script" not in markup
    parts: list[str] = []
    parser = HTMLParser()
    parser.handle_data = parts.append  # type: ignore[method-assign]
    parser.feed(markup)
    parser.close()
    return "".join(parts)


def test_the_markdown_shows_the_text_with_its_surprises_and_what_was_learnt():
    texts = ["Le", " chat*", HOSTILE, "man", "geait", " ", ".\n", "Fin"]
    then = _reading(100, [0.1, 6.0, 1.0, 3.0, 9.0, 2.5, 0.2, 1.0], texts)
    now = _reading(200, [0.1, 2.4, 1.0, 5.0, 8.0, 0.1, 0.2, math.nan], texts)
    text = as_markdown(now, then, "en")
    shown = _shown(text)
    assert "Le chat*▂" + HOSTILE + "man▅geait█ .↵ Fin?" in shown.replace("\xa0", " ")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "→" not in line][1:]
    numbers = [tuple(re.findall(r"\d+\.\d\d", row)) for row in rows]
    assert numbers == [("6.00", "2.40"), ("2.50", "0.10"), ("9.00", "8.00")]  # the fallen ones, best first
    assert plugin_util.markdown_to_safe_html(text).count("<tr>") == 4
    assert "<strong>chat" in plugin_util.markdown_to_safe_html(text)
    assert "Step 200" in shown
    assert "since step 100" in shown


def test_the_markdown_s_bars_stand_for_one_chance_in_ten_a_hundred_and_a_thousand():
    losses = [math.log(n) for n in (9.9, 10.1, 99, 101, 999, 1001)]
    assert "mot0 mot1▂ mot2▂ mot3▅ mot4▅ mot5█" in _shown(as_markdown(_reading(1, losses), None, "fr"))


def test_the_markdown_is_in_french_with_commas_and_without_a_table_where_the_passages_changed():
    other = _reading(10, [3.0, 2.0], [" autre", " texte"])
    shown = _shown(as_markdown(_reading(20, [1.25]), other))
    assert "Pas 20 : 1,25 nats par token" in shown
    assert "appris" not in shown
    assert "appris depuis le pas 10 (2,50 nats)" in _shown(as_markdown(_reading(20, [1.25]), _reading(10, [2.5])))
    with pytest.raises(ValueError, match="expected fr or en"):
        as_markdown(_reading(1, [1.0]), None, "de")
