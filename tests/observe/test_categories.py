"""Tokens fall into the French categories that their text says, and a split loss is the mean over those ids."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jarvis_nano.observe import categories
from jarvis_nano.tokenizer_training import train_tokenizer

KNOWN = {
    " été": "accents word_start",
    "té": "accents continuation",
    "œ": "accents continuation",
    " Œuvre": "accents word_start capitals",
    "Élan": "accents word_start capitals",
    "e\u0301t": "accents continuation",
    "\u0301t": "accents continuation",
    " l'": "elision word_start",
    "l’": "elision word_start",
    "lorsqu'": "elision word_start",
    "squ'": "elision continuation",
    "u'": "elision continuation",
    " Qu'": "elision word_start capitals",
    " l'eau": "elision word_start",
    "qu’il": "elision word_start",
    " aujourd'hui": "word_start",
    " r'": "word_start",
    "'": "punctuation",
    "’": "punctuation",
    " ;": "punctuation",
    "«\u00a0": "punctuation",
    "-": "punctuation",
    "€": "punctuation",
    "7": "digits",
    " 1984": "digits",
    "²": "digits",
    "2e": "digits",
    "-il": "word_start",
    " eau": "word_start",
    "eau": "continuation",
    "Il": "word_start capitals",
    " Il": "word_start capitals",
    "\n": "",
    " ": "",
    "": "",
    b"\xc3": "",
    b"\xa9": "",
    b" \xc3": "",
    b"caf\xc3": "continuation",
    b"\xa9t": "continuation",
    b"\xa9T": "continuation",
}


class HandMade:
    """A byte-level tokenizer of given tokens; the first is special."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.vocab_size = len(tokens)
        self.encoder = SimpleNamespace(
            byte_level=True,
            added_tokens={tokens[0].decode(): 0},
            decode_bytes=lambda ids: b"".join(tokens[i] for i in ids),
        )


def _hand_made() -> HandMade:
    return HandMade([b"Le</s>", *(token if isinstance(token, bytes) else token.encode() for token in KNOWN)])


@pytest.mark.parametrize("token", KNOWN, ids=repr)
def test_a_token_is_in_the_categories_that_its_text_says(token):
    raw = token if isinstance(token, bytes) else token.encode()
    assert categories.categories(raw) == set(KNOWN[token].split())


def test_the_table_has_a_row_an_id_and_special_tokens_are_in_none():
    names, members = categories.table(_hand_made())
    assert names == categories.CATEGORIES[:-1]
    assert members.dtype == bool
    assert not members[0].any()
    found = [{names[k] for k in np.flatnonzero(row)} for row in members[1:]]
    assert found == [set(kinds.split()) for kinds in KNOWN.values()]


def test_rare_are_the_ids_of_the_last_percent_of_the_training_tokens():
    tokenizer = HandMade([b"</s>", *(b" mot%d" % i for i in range(7))])
    counts = np.array([10**6, 500, 480, 10, 5, 4, 1, 0])  # without </s> 1,000 tokens: 0 + 1 + 4 + 5 are a percent
    names, members = categories.table(tokenizer, counts)
    assert names[-1] == "rare"
    assert members[:, -1].tolist() == [False, False, False, False, True, True, True, True]


def test_ids_of_one_count_are_rare_together_or_not_at_all():
    tokenizer = HandMade([b"</s>", b" a", b" b", b" c", b" d"])
    _, members = categories.table(tokenizer, np.array([0, 985, 5, 5, 5]))
    assert not members[:, -1].any()
    _, members = categories.table(tokenizer, np.array([0, 1000, 3, 3, 3]))
    assert members[:, -1].tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("counts", [np.ones(3), np.full(5, -1), np.ones((5, 1))])
def test_counts_that_do_not_fit_are_refused(counts):
    with pytest.raises(ValueError, match=r"expected \(5,\), none of them negative"):
        categories.table(HandMade([b"</s>", b"a", b"b", b"c", b"d"]), counts)


def test_a_trained_french_tokenizer_has_its_elisions_and_accents(tmp_path):
    text = "Qu'il aille à l'école, l’été : c'est là qu'il va. Lorsqu'elle vient, l'œuvre est prête. " * 3
    tokenizer = train_tokenizer([text], tmp_path, vocab_size=316).tokenizer
    names, members = categories.table(tokenizer)
    found = {name: {tokenizer.piece(int(i)) for i in np.flatnonzero(members[:, names.index(name)])} for name in names}
    assert {" l'", " qu'"} <= found["elision"]
    assert all(piece[-1] in "'’" for piece in found["elision"])
    assert found["digits"] == set("0123456789")
    assert {"à", "é"} <= {piece.strip()[0] for piece in found["accents"]}
    assert all(piece.strip() for piece in found["punctuation"])
    assert not found["word_start"] & found["continuation"]
    words = found["word_start"] | found["continuation"]
    ids = tokenizer.encode(text)
    assert {piece for i in ids.tolist() if (piece := tokenizer.piece(i)).strip(" -'’").isalpha()} <= words


def test_every_decile_holds_the_ids_whose_middle_token_lies_in_that_tenth():
    rng = np.random.default_rng(0)
    counts = rng.zipf(1.6, 400).clip(0, 5000) - 1
    deciles = categories.frequency_deciles(counts)
    order = sorted(range(len(counts)), key=lambda i: (counts[i], i))
    text = np.array([i for i in order for _ in range(counts[i])])  # the training text, its rarest tokens first
    for i in order:
        where = np.flatnonzero(text == i)
        middle = where.mean() + 0.5 if len(where) else 0.0
        assert deciles[i] == min(9, int(10 * middle / len(text))), (i, counts[i])
    assert set(deciles[counts == 0]) == {0}
    assert (np.diff(deciles[order]) >= 0).all()


def test_deciles_hold_equal_shares_of_the_tokens_where_no_id_is_too_common():
    counts = np.arange(1, 2001)
    mass = np.bincount(categories.frequency_deciles(counts), weights=counts)
    np.testing.assert_allclose(mass / counts.sum(), 0.1, atol=0.0011)


def test_counts_of_nothing_have_no_deciles():
    with pytest.raises(ValueError, match="every count is 0"):
        categories.frequency_deciles(np.zeros(5))


def test_a_category_s_loss_is_the_mean_over_its_targets_and_one_without_targets_is_left_out():
    rng = np.random.default_rng(1)
    members = rng.random((50, 3)) < 0.3
    members[:, 2] = False
    members[7, 2] = True
    targets = rng.integers(8, 50, 1000)  # never 7
    nats = rng.random(1000)
    by_id = torch.zeros(2, 50, dtype=torch.float64)
    by_id[0].index_add_(0, torch.from_numpy(targets), torch.from_numpy(nats))
    by_id[1].index_add_(0, torch.from_numpy(targets), torch.ones(1000, dtype=torch.float64))
    found = categories.losses(by_id, (("accents", "digits", "rare"), members))
    expected = {
        f"categories/loss/{name}": float(np.mean([n for n, t in zip(nats, targets, strict=True) if members[t, k]]))
        for k, name in enumerate(["accents", "digits"])
    }
    assert found == pytest.approx(expected)


def test_one_broken_id_spoils_its_own_categories_only():
    by_id = torch.tensor([[float("nan"), 4.0], [1.0, 2.0]])
    found = categories.losses(by_id, (("accents", "digits"), np.array([[True, False], [False, True]])))
    assert np.isnan(found["categories/loss/accents"])
    assert found["categories/loss/digits"] == 2.0


def test_sums_of_another_vocabulary_are_refused():
    table = ("digits",), np.ones((5, 1), dtype=bool)
    with pytest.raises(ValueError, match=r"shape \(2, 4\); expected \(2, 5\)"):
        categories.losses(torch.zeros(2, 4), table)
    assert categories.losses(torch.ones(2, 9), table) == {"categories/loss/digits": 1.0}  # a model with spare rows


def test_categories_and_readings_leave_torch_alone():
    program = (
        "import sys, jarvis_nano.observe.categories, jarvis_nano.observe.readings; "
        "import jarvis_nano.observe.microscope_page, jarvis_nano.observe.microscope_text; "
        "assert not {'torch', 'tensorboard'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
