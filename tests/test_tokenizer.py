"""Tokenizer folders: trained, saved, loaded, read by transformers, streamed; and what is said when one is broken."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.errors import UserError
from jarvis_nano.kernels.bpe.patterns import TRAINABLE
from jarvis_nano.tokenizer import FILES, SPECIAL_TOKENS, Tokenizer
from jarvis_nano.tokenizer_training import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
TEXT = (
    "L'été, d'aujourd'hui à demain, l'eau coule. « Où vas-tu ? » dit-il. C'est 1789 et 2026 ! — Peut-être… Qu'elle "
    "vienne, qu'il parte, l'enfant joue. L'enfant rit, l'eau chante, la rivière l'appelle.\n\nIl s'en va. "
)
TEXTS = [TEXT * 5, TEXT.upper() * 3, "l’été 😀 mille fois\n" * 20]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50) | st.text("l'é 1«»\n-aA<|end>s/", max_size=50)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """One trained tokenizer folder a pattern."""
    home = tmp_path_factory.mktemp("tokenizers")
    for pattern in TRAINABLE:
        train_tokenizer(TEXTS, home / pattern, vocab_size=330, pattern=pattern)
    return {pattern: home / pattern for pattern in TRAINABLE}


@pytest.fixture(scope="module")
def tokenizer(folders) -> Tokenizer:
    return Tokenizer.load(folders["french"])


@pytest.mark.parametrize("pattern", TRAINABLE)
def test_what_is_trained_is_native_and_exact(folders, pattern):
    trained = Tokenizer.load(folders[pattern])
    library = tokenizers.Tokenizer.from_file(str(folders[pattern] / "tokenizer.json"))
    library.encode_special_tokens = True
    if trained.encoder.why_not and "not built" in trained.encoder.why_not:
        pytest.skip(trained.encoder.why_not)
    assert trained.encoder.native
    assert trained.encoder.scanner == pattern
    assert trained.vocab_size == 330 == library.get_vocab_size()

    @settings(max_examples=150, deadline=None)
    @given(any_text)
    def check(text):
        ids = trained.encode(text)
        assert ids.dtype == np.uint16
        assert ids.tolist() == library.encode(text).ids
        assert trained.decode(ids) == text

    check()


def test_special_tokens_have_ids_0_to_7(tokenizer):
    assert [tokenizer.special_id(text) for text in SPECIAL_TOKENS] == list(range(8))
    assert [tokenizer.piece(index) for index in range(8)] == list(SPECIAL_TOKENS)
    with pytest.raises(UserError, match=r"no special token <\|tool\|>.*<unk> <pad>"):
        tokenizer.special_id("<|tool|>")


def test_the_text_of_special_tokens_is_plain_text_unless_asked(tokenizer):
    text = "a<|end|></s>b"
    assert min(tokenizer.encode(text)) >= len(SPECIAL_TOKENS)
    marked = tokenizer.encode(text, special=True)
    assert [index for index in marked.tolist() if index < 8] == [7, 3]
    assert tokenizer.decode(marked) == text
    assert tokenizer.decode(marked, special=False) == "ab"
    batch, _ = tokenizer.encode_batch([text, text])
    assert min(batch) >= len(SPECIAL_TOKENS)


def test_every_way_of_encoding_gives_the_same_ids(tokenizer, tmp_path):
    want = [tokenizer.encode(text).tolist() for text in TEXTS]
    assert [tokenizer.encode_list(text) for text in TEXTS] == want
    assert [tokenizer.count(text) for text in TEXTS] == [len(row) for row in want]
    assert tokenizer.encode_batch(TEXTS, as_lists=True) == want
    paths = [tmp_path / str(number) for number in range(len(TEXTS))]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text, encoding="utf-8")
    for ids, offsets in (tokenizer.encode_batch(TEXTS), tokenizer.encode_files(paths, tmp_path / "ids")):
        assert ids.dtype == tokenizer.dtype == np.uint16
        assert [ids[a:b].tolist() for a, b in pairwise(offsets)] == want


def test_pieces_are_the_text_cut_up(tokenizer):
    text = "L'été 中, à l'eau"
    pieces = tokenizer.pieces(text)
    assert b"".join(piece.bytes for piece in pieces) == text.encode()
    assert [piece.id for piece in pieces] == tokenizer.encode_list(text)
    (eau,) = (piece for piece in pieces if piece.text == "eau")
    assert eau[1:] == ("eau", b"eau", (13, 16))
    spans = tokenizer.offsets(text)
    assert spans.characters.tolist() == [list(piece.span) for piece in pieces]
    assert spans.bytes[-1, 1] == len(text.encode())


def test_a_method_of_a_tokenizer_can_go_to_another_process(tokenizer):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for method in (tokenizer.encode_list, tokenizer.count, tokenizer.encode_batch):
            argument = TEXTS if method == tokenizer.encode_batch else TEXT
            np.testing.assert_equal(pool.submit(method, argument).result(), method(argument))


def test_french_pieces_keep_the_elision_and_part_digits(tokenizer):
    pieces = [tokenizer.piece(index) for index in tokenizer.encode("été l'eau 1789")]
    assert pieces == ["été", " l'", "eau", " ", "1", "7", "8", "9"]


def test_piece_shows_part_of_a_character_as_its_byte(tokenizer):
    assert [tokenizer.piece(index) for index in tokenizer.encode("中")] == [r"\xe4", r"\xb8", r"\xad"]


def test_a_stream_is_the_decoded_text_and_never_a_broken_character(tokenizer):
    @settings(max_examples=200, deadline=None)
    @given(any_text, st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=15), st.booleans())
    def check(text, random_ids, special):
        stream = tokenizer.decode_stream(special=special)
        pieces = [stream.push(index) for index in tokenizer.encode(text)]
        assert not any("\ufffd" in piece for piece in pieces) or "\ufffd" in text
        assert "".join(pieces) == text
        assert stream.flush() == ""

        stream = tokenizer.decode_stream(special=special)
        joined = "".join(stream.push(index) for index in random_ids) + stream.flush()
        assert joined == tokenizer.decode(random_ids, special=special)

    check()


def test_saving_copies_every_file_and_the_hash(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "a/b")
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == sorted(FILES)
    again = Tokenizer.load(tmp_path / "a/b")
    assert again.hash == tokenizer.hash
    assert again == tokenizer
    assert Tokenizer.load(tmp_path / "a/b/tokenizer.json") == tokenizer
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy == tokenizer
    assert copy.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    copy.save(tmp_path / "c")
    assert all((tmp_path / "c" / name).read_bytes() == (tmp_path / "a/b" / name).read_bytes() for name in FILES)


def test_training_twice_gives_the_same_files(folders, tmp_path):
    train_tokenizer(iter(TEXTS), tmp_path, vocab_size=330)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folders["french"] / name).read_bytes()


def test_the_report_measures_the_corpus(tmp_path):
    report = train_tokenizer(TEXTS, tmp_path, vocab_size=300)
    size = sum(len(text.encode()) for text in TEXTS)
    n_ids = sum(len(report.tokenizer.encode(text)) for text in TEXTS)
    assert (report.n_documents, report.n_bytes, report.bytes_per_token) == (len(TEXTS), size, size / n_ids)


@pytest.mark.parametrize("pattern", TRAINABLE)
def test_transformers_loads_the_same_ids_and_conversation(folders, pattern):
    transformers = pytest.importorskip("transformers")
    ours, theirs = Tokenizer.load(folders[pattern]), transformers.AutoTokenizer.from_pretrained(folders[pattern])
    assert (theirs.unk_token_id, theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id) == (0, 1, 2, 3)
    for text in [*TEXTS, "  deux  espaces ", "中 😀 e\u0301", "a\r\n\tb"]:
        assert theirs(text)["input_ids"] == ours.encode(text).tolist()
        assert theirs.decode(ours.encode(text).tolist()) == text


def test_the_chat_template_is_our_conversation(folders, tokenizer):
    transformers = pytest.importorskip("transformers")
    from jarvis_nano.chat import encode_conversation, encode_prompt

    theirs = transformers.AutoTokenizer.from_pretrained(folders["french"])
    turns = [("system", "Tu es Jarvis."), ("user", " L'été ?\n"), ("assistant", "L'eau\n\ncoule. "), ("user", "Merci")]
    messages = [{"role": role, "content": content} for role, content in turns]
    for start in (0, 1):
        whole = theirs.apply_chat_template(messages[start:3], tokenize=True, return_dict=False)
        assert whole == encode_conversation(tokenizer, messages[start:3])[0].tolist()
        prompt = theirs.apply_chat_template(messages[start:], add_generation_prompt=True, return_dict=False)
        assert prompt == encode_prompt(tokenizer, messages[start:]).tolist()
    with pytest.raises(Exception, match="unknown role tool"):
        theirs.apply_chat_template([{"role": "tool", "content": "x"}])


BROKEN = {
    "is no tokenizer that can be used: not valid JSON": lambda raw: raw[:1000],
    "a Unigram model; expected byte-pair": lambda raw: b'{"model": {"type": "Unigram", "vocab": []}}',
    "not valid JSON": lambda raw: b"\xff\xfe",
    "not in the vocabulary": lambda raw: raw.replace(b'"vocab": {', b'"vocab": {"zz": 999},\n "was": {'),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_tokenizer_is_a_user_error(folders, tmp_path, message):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(BROKEN[message]((folders["french"] / "tokenizer.json").read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(path) in str(caught.value)


def test_a_missing_tokenizer_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"no tokenizer at .*train_tokenizer\.py"):
        Tokenizer.load(tmp_path / "none")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"holds no tokenizer\.json \(found: notes\.txt\)"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("texts", "changes", "message"),
    [
        (TEXTS, {"vocab_size": 263}, "256 bytes and 8 special tokens need 264"),
        (TEXTS, {"vocab_size": 9000}, r"reaches only \d+ of 9000 tokens; pass --vocab-size"),
        (TEXTS, {"pattern": "frensh"}, "no pattern 'frensh'; choose one of french, gpt2"),
        ([], {"vocab_size": 264}, "holds no text"),
        (["", ""], {"vocab_size": 264}, "holds no text"),
        (["a", "b\ud800"], {}, "text 2 of the corpus: lone surrogate"),
    ],
)
def test_a_training_that_cannot_be_writes_nothing(tmp_path, texts, changes, message):
    with pytest.raises(UserError, match=message):
        train_tokenizer(texts, tmp_path / "out", **({"vocab_size": 300} | changes))
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_written_is_told_before_the_corpus_is_read(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir(mode=0o500)
    unread = iter(lambda: pytest.fail("the corpus was read"), None)
    with pytest.raises(UserError, match="is a file"):
        train_tokenizer(unread, tmp_path / "file", vocab_size=300)
    with pytest.raises(UserError, match="cannot be made inside it"):
        train_tokenizer(unread, tmp_path / "file/inside", vocab_size=300)
    if os.getuid() != 0:
        with pytest.raises(UserError, match="choose a folder you may write to"):
            train_tokenizer(unread, tmp_path / "closed/out", vocab_size=300)


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/train_tokenizer.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_the_script_trains_on_files_and_reports(tmp_path):
    (tmp_path / "a.txt").write_text(TEXTS[0], encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": TEXTS[1]}) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    ran = run_script(tmp_path / "a.txt", tmp_path / "b.jsonl", "--out", out, "--vocab-size", 300)
    assert ran.returncode == 0, ran.stderr
    assert "300 tokens, pattern french" in ran.stdout
    assert "bytes per token; trained on all of the corpus: 2 documents" in ran.stdout
    assert Tokenizer.load(out).vocab_size == 300
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    for bad in (tmp_path / "none.txt", tmp_path / "c.txt"):
        ran = run_script(bad, "--out", tmp_path / "new")
        assert ran.returncode == 2
        assert ran.stderr.startswith("error: ")
        assert ran.stderr.count("\n") == 1
        assert not (tmp_path / "new").exists()


def test_a_tokenizer_works_without_torch():
    code = "import sys; import jarvis_nano.tokenizer, jarvis_nano.tokenizer_training; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "False\n", ran.stderr


def test_the_original_s_tokenizer_loads_and_streams(shared_data):
    path = shared_data / "seed/tokenizer_hf"
    seed, library = Tokenizer.load(path), tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    assert seed.special_id("<|user|>") == 4
    assert seed.encoder.native
    ids = seed.encode("Bonjour, l'été sera chaud.")
    assert seed.decode(ids) == library.decode(ids.tolist())
    stream = seed.decode_stream()
    assert "".join(stream.push(index) for index in ids.tolist()) + stream.flush() == seed.decode(ids)


def test_novels_come_back(shared_data, tokenizer):
    text = (shared_data / "corpus_fr/eltec_FRA00101_Adam.txt").read_text(encoding="utf-8")
    assert tokenizer.decode(tokenizer.encode(text)) == text
