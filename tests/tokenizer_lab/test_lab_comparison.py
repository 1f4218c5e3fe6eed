"""The figures of the comparison against truths known by hand: patterns, losses, costs."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import Tokenizer
from jarvis_nano.tokenizer_lab import comparison, cuts, losses, table
from jarvis_nano.tokenizer_lab.comparison import compare, load_all
from jarvis_nano.tokenizer_lab.texts import Texts, halves, read_texts


def load(path: Path) -> Tokenizer:
    return Tokenizer.load(path, n_threads=1)


def test_french_keeps_elisions_and_the_others_do_not(trained, unseen) -> None:
    found = {name: cuts.count_cuts(load(path), unseen.measured) for name, path in trained.items()}
    n = found["french"].elisions
    assert n > 200
    assert found["french"].kept > 0.9 * n  # the rest are spellings too rare for a merge of their own
    assert found["french"].with_next == found["french"].joined == 0
    assert found["gpt2"].apart == n
    assert found["llama3"].kept == 0
    assert found["llama3"].with_next > 0.5 * n
    assert found["bloom"].joined > 0.5 * n
    for one in found.values():
        assert one.kept + one.apart + one.with_next + one.joined == one.elisions == n


def test_the_cuts_of_a_sentence_are_those_counted_by_hand(trained) -> None:
    tokenizer = load(trained["french"])
    text = "L'été, qu'il 1789 x"
    pieces = [piece.text for piece in tokenizer.pieces(text)]
    found = cuts.count_cuts(tokenizer, [text])
    assert (found.words, found.elisions, found.digits, found.digit_tokens) == (5, 2, 4, 4)
    words = re.findall(r"[^\W\d_]+", "|".join(pieces))  # parts of words, split where tokens are
    assert found.word_tokens == len(words)
    assert found.kept == sum(piece.strip() in ("L'", "qu'") for piece in pieces)


def test_a_character_cut_into_bytes_is_a_cut_word(kind) -> None:
    found = cuts.count_cuts(load(kind["GPT-2"]), ["où"])  # o · c3 · b9
    assert (found.words, found.word_tokens, found.cut_in_two, found.cut_in_three) == (1, 3, 1, 1)


def test_numbers_are_cut_in_one_way_where_digits_are_parted(trained, kind) -> None:
    assert cuts.number_shapes(load(trained["french"])) == [("1+1+1+1", "1000")]
    assert [shape for shape, _ in cuts.number_shapes(load(kind["Llama-3, cl100k"]))] == ["1+1+1+1"]  # no merges
    assert cuts.shown(load(trained["french"]), "12 345") == "1 · 2 · ␣ · 3 · 4 · 5"


def test_characters_that_do_not_come_back_are_named(kind) -> None:
    assert cuts.unknown_characters(load(kind["the original's"]), "éœ«l") == "œ«"
    assert cuts.unknown_characters(load(kind["Llama-2, Mistral"]), "éœ«l") == ""
    assert cuts.tokens_each(load(kind["GPT-2"]), "œ") == 2


def test_a_capital_costs_more_only_where_the_small_word_was_learnt(trained, unseen) -> None:
    capital, upper = cuts.capital_cost(load(trained["french"]), unseen.measured)
    assert 0 < capital < upper
    assert all(math.isnan(value) for value in cuts.capital_cost(load(trained["french"]), ["123 !"]))


def test_round_trips_are_counted_by_line_with_what_was_lost(kind, trained) -> None:
    text = "le\tté\nn\n"
    lost, lines, examples = losses.round_trips(load(kind["the original's"]), [text])
    assert (lost, lines) == (2, 2)
    assert (examples[0].text, examples[0].back) == ("le\tté\n", "le té")
    assert losses.round_trips(load(trained["gpt2"]), [text, " \u00a0« œ 😀"])[0] == 0


def test_nothing_is_charged_for_mending_what_comes_back(trained, unseen) -> None:
    learn, measure = halves(unseen)
    for pattern in ("french", "gpt2"):
        found = losses.bits_per_byte(load(trained[pattern]), learn, measure)
        assert found.of_mends == 0
        assert 0.3 < found.total < 3


def test_an_unknown_character_is_charged_at_least_its_spelling(kind) -> None:
    """`<unk>` for everything would be a perfect model, if nobody asked for the text again."""
    tokenizer = load(kind["the original's"])
    learn = ["le té, le lien, la route"] * 3
    measure = "日本" * 40
    found = losses.bits_per_byte(tokenizer, learn, [measure])
    assert found.of_mends * len(measure.encode()) >= 8 * len(measure.encode())
    assert found.total > 8


def test_spaces_lost_alike_each_time_are_cheap_to_mend_and_by_chance_dear(kind) -> None:
    rng = np.random.default_rng(0)
    words = ["le", "té", "lien", "ride", "son"]

    def text(chance: float) -> str:
        return "".join(rng.choice(words) + ("\t" if rng.random() < chance else " ") for _ in range(3000))

    tokenizer = load(kind["the original's"])
    cheap, dear = (losses.bits_per_byte(tokenizer, [text(c)], [text(c)]).of_mends for c in (0.0, 0.5))
    assert 0 < cheap < 0.01
    # One bit a gap, and a gap every so many bytes.
    n_bytes = np.mean([len(word.encode()) + 1 for word in words])
    assert dear == pytest.approx(1 / n_bytes, rel=0.05)


def test_text_comes_back_from_the_mends(kind) -> None:
    """What is charged suffices: from ids and mends the text can be put together again."""
    tokenizer = load(kind["the original's"])
    mending = losses.Mending(tokenizer, [])
    text = " le  té…\n« œ » ﬁn\te\u0301 "
    entries = mending._mends(text)
    ids = tokenizer.encode(text).tolist()
    firsts = [entry[1] for entry in entries[:-1]]
    assert [index for index in ids if index in firsts]  # every group begins with its first token
    rebuilt = ""
    at = 0
    for _, first, (dropped, own) in entries[:-1]:
        place = ids.index(first, at)
        rebuilt += dropped + (own or mending._own.joined([ids[place]]))
        at = place + 1
    assert rebuilt + entries[-1][2][0] == text


def test_vocabulary_use_counts_what_the_text_needs(trained) -> None:
    tokenizer = load(trained["gpt2"])
    ids = [tokenizer.encode("le le la")]
    use = comparison.vocabulary_use(tokenizer, ids)
    used = set(ids[0].tolist())
    assert use.never == tokenizer.vocab_size - 8 - len(used)
    assert use.once == sum(ids[0].tolist().count(index) == 1 for index in used)
    pieces = {tokenizer.piece(index) for index in range(8, tokenizer.vocab_size)}
    assert use.doubled == sum(f" {piece}" in pieces for piece in pieces if not piece.startswith(" "))


def test_costs_are_those_of_the_presets(trained, unseen) -> None:
    (found,) = compare([trained["french"]], unseen)
    nano, mini = found.costs["nano"], found.costs["mini"]
    assert nano.embedding_parameters == 2000 * 192
    assert mini.embedding_parameters == 2 * 2000 * 384  # not tied: reading and writing
    assert nano.steps_per_100_mb == pytest.approx(1e8 / found.bytes_per_token / 2048)


def test_a_comparison_measures_all_on_the_same_text(trained, unseen, kind) -> None:
    unseen = Texts(unseen.measured[:16], [], "stories")
    found = compare([trained["french"], trained["gpt2"], kind["the original's"]], unseen)
    french, gpt2, original = found
    for one in found:
        assert one.bytes_per_token * sum(load(Path(one.path)).count(t) for t in unseen.measured) == pytest.approx(
            unseen.n_bytes
        )
    assert french.bytes_per_token > gpt2.bytes_per_token
    assert (french.lines_lost, gpt2.lines_lost) == (0, 0)
    assert original.lines_lost == original.lines
    assert original.unknown_share > 0.2
    assert original.bits.total > 1.5 * french.bits.total
    assert json.loads(json.dumps(original.as_json()))["examples"]


def test_names_are_short_and_no_two_the_same(trained) -> None:
    french = trained["french"]
    assert [name for name, _ in load_all([french, trained["gpt2"]])] == ["french", "gpt2"]
    assert [name for name, _ in load_all([french, french / "tokenizer.json"])] == ["french (1)", "french (2)"]


def test_the_tables_fit_100_columns_and_mark_the_best(trained, unseen, capsys) -> None:
    unseen = Texts(unseen.measured[:20], [], "stories")
    found = compare([*trained.values(), *list(trained.values())[:2]], unseen)
    table.show(found, unseen)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    row = next(line for line in out.splitlines() if "elisions kept" in line)
    assert row.count("*") == 2  # the same tokenizer twice


def test_built_in_text_is_used_and_named_where_there_is_none() -> None:
    texts = read_texts([])
    assert "built-in stories" in texts.source
    assert texts.n_bytes > 500_000
    learn, measure = halves(texts)
    assert not set(learn) & set(measure)
    assert len(learn) > 3 * len(measure)


def test_texts_that_cannot_be_used_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        compare([], Texts(["a"], [], ""))
    (tmp_path / "a.txt").write_text("du texte", encoding="utf-8")
    with pytest.raises(UserError, match="--data"):
        read_texts([], [tmp_path / "a.txt"])


def test_one_short_line_is_enough_to_compare(trained) -> None:
    (found,) = compare([trained["french"]], Texts(["Non."], [], "x"))
    assert found.lines == 1
    assert math.isnan(found.bits.total)
    assert found.as_json()["bits"]["total"] is None
