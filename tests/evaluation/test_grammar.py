"""Minimal pairs: what stands in the files, and that a pair is scored as a pencil would score it."""

import difflib
import json
import math
import re
import unicodedata
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from jarvis_nano.config import ModelConfig
from jarvis_nano.corpus import stories
from jarvis_nano.errors import UserError
from jarvis_nano.evaluation import grammar, grammar_table
from jarvis_nano.evaluation.grammar import Pair
from jarvis_nano.model import Transformer

PAIRS = grammar.load()
ALL = [pair for pairs in PAIRS.values() for pair in pairs]
END = 3
KNOWN = set("abcdefghijklmnopqrstuvwxyzàâçèéêëîïôùûœ ABCDEFGHIJKLMNOPQRSTUVWXYZÀÉÊÎ'-,.;:?!«»")


TABLE = {letter: 4 + n for n, letter in enumerate(sorted(KNOWN))}


class Letters:
    """Id 4 + n for the n-th known character."""

    vocab_size = 4 + len(KNOWN)

    def special_id(self, text):
        assert text == "</s>"
        return END

    def encode_batch(self, texts, *, as_lists):
        assert as_lists
        return [[TABLE[letter] for letter in text] for text in texts]

    def decode(self, ids):
        letters = {index: letter for letter, index in TABLE.items()}
        return "".join(letters[i] for i in ids)


class Judge(torch.nn.Module):
    """Gives each sentence the log p that `judge` says, spread evenly over its tokens."""

    def __init__(self, judge, context=200):
        super().__init__()
        self.judge, self.config = judge, SimpleNamespace(context=context)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.sizes = []

    def loss(self, ids, targets):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.sizes.append(tuple(ids.shape))
        losses = torch.zeros(ids.shape)
        for b, row in enumerate(targets.tolist()):
            kept = [i for i in row if i != -100]
            assert row == kept + [-100] * (len(row) - len(kept))
            assert ids[b, : len(kept)].tolist() == [END, *kept[:-1]]
            losses[b, : len(kept)] = -self.judge(Letters().decode(kept)) / len(kept)
        return SimpleNamespace(loss=losses.flatten())


def tiny(**changes):
    torch.manual_seed(1)
    settings = {"vocab_size": Letters.vocab_size, "context": 120, "n_layers": 2, "n_heads": 2, "d_model": 16}
    model = Transformer(ModelConfig(**settings | changes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)  # far from uniform, so that sentences differ clearly
    return model


@torch.no_grad()
def by_hand(model, sentence):
    """log p of one sentence: softmax over the logits of that sentence alone."""
    ids = [END, *(TABLE[letter] for letter in sentence)]
    p = torch.softmax(model(torch.tensor([ids[:-1]]))[0].double(), -1)
    return sum(math.log(p[t, ids[t + 1]]) for t in range(len(ids) - 1))


# -- the data


def test_there_are_enough_phenomena_and_pairs_and_each_has_its_title():
    assert list(PAIRS) == list(grammar.TITLES)
    assert len(PAIRS) >= 12
    for name, pairs in PAIRS.items():
        assert len(pairs) >= 100, name
        title = grammar.TITLES[name]
        assert title.fr != title.en
        assert title.example in pairs, f"{name}: the example is no pair of the file"


def test_no_good_sentence_stands_twice_in_all_files():
    seen = set()
    for pair in ALL:
        assert pair.good not in seen, pair.good
        seen.add(pair.good)
    assert not seen & {pair.bad for pair in ALL}


def test_no_pair_is_nearly_a_copy_of_another_of_its_phenomenon():
    for name, pairs in PAIRS.items():
        words = [pair.good.split() for pair in pairs]
        for i, one in enumerate(words):
            for other in words[:i]:
                if len(one) == len(other):
                    different = sum(a != b for a, b in zip(one, other, strict=True))
                    assert different > 1, f"{name}: {' '.join(one)} / {' '.join(other)}"


@pytest.mark.parametrize("name", PAIRS)
def test_sentences_are_whole_and_a_pair_differs_in_one_place(name):
    for pair in PAIRS[name]:
        for sentence in (pair.good, pair.bad):
            assert unicodedata.is_normalized("NFC", sentence)
            assert set(sentence) <= KNOWN, (sentence, set(sentence) - KNOWN)
            assert re.fullmatch(r"(« )?[A-ZÀÉÊÎ].*[.?!]( »)?", sentence), sentence
            assert "  " not in sentence
            assert sentence.count("«") == sentence.count("»"), sentence
        good, bad = pair.good.split(), pair.bad.split()
        assert abs(len(good) - len(bad)) <= 1, pair
        assert abs(len(pair.good) - len(pair.bad)) <= 6, pair
        matches = difflib.SequenceMatcher(None, good, bad, autojunk=False).get_opcodes()
        changed = [(i1, i2, j1, j2) for kind, i1, i2, j1, j2 in matches if kind != "equal"]
        assert changed
        first, last = changed[0], changed[-1]
        assert last[1] - first[0] <= 6, pair
        assert last[3] - first[2] <= 6, pair


def test_the_first_half_of_each_file_speaks_the_words_of_the_built_in_stories():
    known = stories.word_forms(stories.megabytes(2, seed=3))
    for name, pairs in PAIRS.items():
        words = [w for pair in pairs[: len(pairs) // 2] for w in re.findall(r"[^\W\d_]+", pair.good.lower())]
        assert sum(w in known for w in words) / len(words) > 0.8, name


# -- reading


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Il dort.\tIl dors.\nIl dort.\n", "line 2: expected a good sentence"),
        (b"A.\tB.\tC.\n", "line 1: expected a good sentence"),
        (b"Il dort.\t\n", "line 1: expected a good sentence"),
        (b"Il dort. \tIl dors.\n", "line 1: expected a good sentence"),
        (b"Il dort.\tIl dort.\n", "line 1: both sentences"),
        (b"Il dort.\tIl dors.\nA.\tB.\nIl dort.\tIl dors.\n", "line 3: the same pair as in line 1"),
        (b"A.\tB.\n\xe9t\xe9.\tB.\n", "line 2: not UTF-8"),
        ("Il e\u0301tait la\u0300.\tB.\n".encode(), "line 1: accents apart"),
        (b"", "is empty"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_line(tmp_path, content, said):
    (tmp_path / "mot.tsv").write_bytes(content)
    with pytest.raises(UserError, match=said) as refused:
        grammar.load(tmp_path)
    assert "mot.tsv" in str(refused.value)


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(UserError, match="sentence pairs"):
        grammar.load(tmp_path)


# -- scoring


@pytest.mark.parametrize("switches", [{}, {"positions": "rotary", "norm": "rmsnorm", "mlp": "swiglu"}])
def test_a_sentence_scores_as_softmax_by_hand(switches):
    model = tiny(**switches).eval()
    sentences = [pair.good for pair in ALL[::150]] + [pair.bad for pair in ALL[7::150]]
    found = grammar.log_probabilities(model, Letters(), sentences, batch_rows=5)
    expected = [by_hand(model, sentence) for sentence in sentences]
    assert found == pytest.approx(expected, rel=1e-5)
    assert max(expected) - min(expected) > 50


def test_accuracy_is_the_share_of_pairs_that_are_right_by_hand():
    model = tiny(dropout=0.5).train()
    pairs = {name: PAIRS[name][::10] for name in ("gender", "negation", "auxiliary")}
    found = grammar.accuracy(model, Letters(), pairs, batch_rows=7)
    assert model.training
    model.eval()
    for name, some in pairs.items():
        right = [by_hand(model, pair.good) > by_hand(model, pair.bad) for pair in some]
        assert found[name] == pytest.approx(sum(right) / len(right))
    assert len(set(found.values())) > 1
    assert all(0 < share < 1 for share in found.values())


def test_padding_and_the_batch_size_change_no_score():
    model = tiny().eval()
    short, long = "Il dort.", "Le panier de pommes rouges est sous le chêne, près de la haie du vieux moulin."
    alone = grammar.log_probabilities(model, Letters(), [short])
    padded = grammar.log_probabilities(model, Letters(), [short, long, short], batch_rows=3)
    assert padded[0] == pytest.approx(alone[0], rel=1e-6)
    assert padded[0] == padded[2]
    assert padded == pytest.approx(grammar.log_probabilities(model, Letters(), [short, long, short], batch_rows=1))


def test_a_model_that_prefers_the_good_sentence_scores_1_and_the_reverse_0():
    good = {pair.good for pair in ALL}
    pairs = {name: some[:20] for name, some in PAIRS.items()}
    assert grammar.accuracy(Judge(lambda s: -10.0 if s in good else -10.5), Letters(), pairs) == dict.fromkeys(
        pairs, 1.0
    )
    assert grammar.accuracy(Judge(lambda s: -10.5 if s in good else -10.0), Letters(), pairs) == dict.fromkeys(
        pairs, 0.0
    )


def test_the_sum_decides_not_the_mean_and_a_tie_counts_half():
    pairs = {"mot": [Pair("Oui.", "Non, non."), Pair("Ah !", "Oh !"), Pair("Non, merci.", "Si.")]}
    judge = Judge(lambda s: {"Oui.": -9.0, "Non, non.": -10.0, "Non, merci.": -12.0, "Si.": -11.0}.get(s, -5.0))
    # by means a token: -9/4 < -10/9 (wrong), tie, -12/11 > -11/3 (right)
    assert grammar.accuracy(judge, Letters(), pairs)["mot"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert grammar.accuracy(Judge(lambda s: -1.0), Letters(), {"mot": [Pair("Ah !", "Oh !")]})["mot"] == 0.5


def test_the_mode_is_restored_after_an_error_too():
    def fails(sentence):
        raise RuntimeError("broken")

    model = Judge(fails).train()
    with pytest.raises(RuntimeError, match="broken"):
        grammar.accuracy(model, Letters(), {"mot": [Pair("Ah !", "Oh !")]})
    assert model.training
    assert not torch.is_inference_mode_enabled()


def test_batches_hold_no_more_rows_than_asked():
    judge = Judge(lambda s: -1.0)
    grammar.accuracy(judge, Letters(), {"gender": PAIRS["gender"][:11]}, batch_rows=8)
    assert [rows for rows, _ in judge.sizes] == [8, 8, 6]


def test_the_subset_is_fixed_evenly_spread_and_costs_what_it_says():
    pairs = PAIRS["gender"]
    some = grammar.subset(pairs, 20)
    assert some == grammar.subset(list(pairs), 20)
    places = [pairs.index(pair) for pair in some]
    steps = [b - a for a, b in pairwise(places)]
    assert places[0] == 0
    assert len(places) == 20
    assert max(steps) - min(steps) <= 1
    assert places[-1] + max(steps) >= len(pairs)
    assert grammar.subset(pairs, 0) == grammar.subset(pairs, 10**6) == pairs
    with pytest.raises(UserError, match="-1 pairs"):
        grammar.subset(pairs, -1)

    good = {pair.good for pair in some}
    judge = Judge(lambda s: 0.0 if s in good else -1.0)
    assert grammar.accuracy(judge, Letters(), {"gender": pairs}, per_phenomenon=20) == {"gender": 1.0}
    assert sum(rows for rows, _ in judge.sizes) == 40


def test_pairs_longer_than_the_context_are_left_out_and_counted():
    pairs = {"court": [Pair("Ah !", "Oh !"), Pair("Abcdef.", "Abc.")], "long": [Pair("Abc.", "Abcdef.")]}
    assert grammar.too_long(Letters(), pairs, 6) == 2
    assert grammar.too_long(Letters(), pairs, 7) == 0
    judge = Judge(lambda s: -1.0 if s == "Ah !" else -2.0, context=6)
    assert grammar.accuracy(judge, Letters(), pairs) == {"court": 1.0}
    with pytest.raises(UserError, match="7 tokens do not fit the model's context of 6"):
        grammar.log_probabilities(judge, Letters(), ["Abcdef."])


def test_nothing_to_score_is_no_error():
    assert grammar.accuracy(Judge(lambda s: 0.0, context=2), Letters(), {"gender": PAIRS["gender"]}) == {}
    assert grammar.log_probabilities(Judge(lambda s: 0.0), Letters(), []) == []


# -- the table of scripts/evaluate.py --grammar


@pytest.fixture
def few(monkeypatch):
    """Three pairs of two phenomena instead of all."""
    pairs = {"gender": PAIRS["gender"][:2], "elision": PAIRS["elision"][:1]}
    monkeypatch.setattr(grammar, "load", lambda: pairs)
    return pairs


def test_the_table_names_each_phenomenon_and_the_mean_is_over_phenomena(few, capsys):
    bad = {few["gender"][0].bad, few["elision"][0].bad}
    judge = Judge(lambda s: -1.0 if s in bad else 0.0)
    grammar_table.show(judge, Letters(), as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "grammar": 0.875,  # gender: one right, one tie
        "accuracy": {"gender": 0.75, "elision": 1.0},
        "too_long": 0,
    }
    for lang, words in (("fr", ("Juste", "Élision")), ("en", ("Right", "Elision"))):
        grammar_table.show(judge, Letters(), lang=lang)
        out = capsys.readouterr().out
        for word in (*words, "75%", "100%", "87.5%"):
            assert word in out, out


def test_the_table_says_what_did_not_fit(few, capsys):
    lengths = sorted(max(len(pair.good), len(pair.bad)) for pairs in few.values() for pair in pairs)
    grammar_table.show(Judge(lambda s: -1.0, context=lengths[1]), Letters(), lang="en")
    assert "1 pairs are too long" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UserError, match="no pair of sentences fits"):
        grammar_table.show(Judge(lambda s: -1.0, context=3), Letters())
