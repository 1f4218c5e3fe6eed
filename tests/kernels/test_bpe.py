"""BpeEncoder gives the ids of the tokenizers library, for every text, and says so when it lets the library work."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from bpe_texts import FRENCH, PIECES, SPECIAL, Library, any_text, changed, corpus, tokenizer_json
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe import BpeFileError, op, reference
from jarvis_nano.kernels.bpe.__main__ import main
from jarvis_nano.kernels.bpe.patterns import GPT2, LLAMA3, PATTERNS, SCANNERS, byte_alphabet
from jarvis_nano.kernels.bpe.tokenizer_file import parse

module, why_not_built = op.extension()
needs_extension = pytest.mark.skipif(module is None, reason=why_not_built)
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)
CSRC = Path(__file__).resolve().parents[2] / "csrc"
MANY = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[BpeEncoder, Library]]:
    return {pattern: (BpeEncoder(tokenizer_json(pattern)), Library(tokenizer_json(pattern))) for pattern in PATTERNS}


@needs_extension
@every_pattern
def test_ids_are_the_library_s(pairs, pattern):
    encoder, library = pairs[pattern]
    assert encoder.native
    assert encoder.scanner == pattern

    @MANY
    @given(any_text)
    def check(text):
        for special in (False, True):
            want = library.encode(text, special=special)
            assert encoder.encode(text, special=special).tolist() == want
            assert encoder.encode(text.encode(), special=special).tolist() == want

    check()


@every_pattern
def test_every_string_comes_back(pairs, pattern):
    encoder, _ = pairs[pattern]

    @MANY
    @given(any_text)
    def check(text):
        assert encoder.decode(encoder.encode(text)) == text
        assert encoder.decode(encoder.encode(text, special=True)) == text

    check()


@every_pattern
def test_the_readable_twin_agrees(pairs, pattern):
    twin = BpeEncoder(tokenizer_json(pattern), backend="reference")
    _, library = pairs[pattern]

    @settings(max_examples=60, deadline=None)
    @given(any_text, st.booleans())
    def check(text, special):
        assert twin.encode(text, special=special).tolist() == library.encode(text, special=special)

    check()


@needs_extension
@pytest.mark.parametrize("regex", SCANNERS, ids=lambda regex: re.sub(r"\W+", "", regex)[:12])
def test_each_spelling_of_a_pattern_cuts_like_its_scanner(regex):
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(regex), behavior="isolated")

    @settings(max_examples=150, deadline=None)
    @given(any_text)
    def check(text):
        assert module.split(SCANNERS[regex], text) == [word for word, _ in split.pre_tokenize_str(text)]

    check()


@needs_extension
def test_french_keeps_elisions_and_parts_digits():
    words = module.split("french", "L'été d’aujourd'hui, qu'il dit-il 42 !")
    assert words == ["L'", "été", " d’", "aujourd'hui", ",", " qu'", "il", " dit", "-il", " ", "4", "2", " !"]


def test_the_unicode_tables_are_those_of_the_installed_library():
    ran = subprocess.run([sys.executable, CSRC / "make_unicode_tables.py", "--check"], capture_output=True, text=True)
    assert ran.stdout == "equal\n", ran.stdout + ran.stderr


@needs_extension
def test_long_words_merge_as_short_ones_do(pairs):
    rng = random.Random(1)
    for pattern, (encoder, library) in pairs.items():
        for size in (39, 40, 41, 200, 3000):
            word = "".join(rng.choices("laeiouré'", k=size))
            for text in (word, "é" * size, " " * size, "-" * size, "la" * size):
                assert encoder.encode(text).tolist() == library.encode(text), (pattern, size, text[:20])


@needs_extension
def test_no_text_takes_quadratic_time(pairs):
    hostile = [piece * (200_000 // len(piece.encode())) for piece in ("a", " ", "\n", "é", "l'", "'s", "1", ".", "😀")]
    for pattern, (encoder, _) in pairs.items():
        for text in [*hostile, FRENCH.replace(" ", "") * 1000]:
            started = time.perf_counter()
            encoder.encode(text)
            # 0.05 s each on an idle machine; a quadratic loop over 200,000 bytes takes minutes.
            assert time.perf_counter() - started < 5, (pattern, text[:10])


@needs_extension
def test_the_word_cache_is_bounded_and_forgets_rightly(pairs):
    encoder, library = pairs["french"]
    rng = random.Random(2)
    words = ["".join(rng.choices("abcdefghijklmnopé", k=rng.randint(1, 14))) for _ in range(150_000)]
    first = encoder.encode(" ".join(words[:1000])).tolist()
    before = resident_bytes()
    ids, _ = encoder.encode_batch([" ".join(words[at : at + 1000]) for at in range(0, len(words), 1000)])
    assert resident_bytes() - before < ids.nbytes + (32 << 20)
    assert encoder.encode(" ".join(words[:1000])).tolist() == first == library.encode(" ".join(words[:1000]))


@needs_extension
@every_pattern
def test_the_word_cache_tells_zero_bytes_from_the_end_of_a_word(pattern):
    encoder, library = BpeEncoder(tokenizer_json(pattern)), Library(tokenizer_json(pattern))
    text = "".join(f"a.{zeros}b-{zeros}" for zeros in ("", "\0", "\0\0", "\0" * 9, "")) + "la fin du texte, assez loin"
    assert encoder.encode(text).tolist() == library.encode(text)


def resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def add_tokens(data: dict) -> None:
    """Added tokens of every kind that the native path covers, some inside others and beside white space."""
    flags = [("[mot]", {}), ("[m", {}), ("<mask>", {"lstrip": True, "special": True}), ("été", {"rstrip": True})]
    flags += [("<n>", {"normalized": True}), ("<n>>", {}), ("--", {"lstrip": True, "rstrip": True})]
    vocab = data["model"]["vocab"]
    new = iter(range(len(vocab), len(vocab) + len(flags)))
    for content, changes in flags:
        index = vocab[content] if content in vocab else next(new)
        data["added_tokens"].append(dict(data["added_tokens"][0], content=content, id=index, special=False) | changes)


@needs_extension
@pytest.mark.parametrize("backend", ["cpp", "reference"])
def test_added_tokens_are_cut_out_as_the_library_does(backend):
    raw = changed("french", add_tokens)
    encoder, library = BpeEncoder(raw, backend=backend), Library(raw)
    pieces = st.sampled_from(
        [*PIECES, *SPECIAL, "[mot]", "[m", "<mask>", "<n>", "<n>>", "--", "été", ">", " ", "\u2003"]
    )

    @settings(max_examples=150, deadline=None)
    @given(st.lists(pieces, max_size=25).map("".join), st.booleans())
    def check(text, special):
        assert encoder.encode(text, special=special).tolist() == library.encode(text, special=special)

    check()


@needs_extension
@pytest.mark.parametrize("backend", ["cpp", "reference"])
def test_ignore_merges_takes_whole_words_first(backend):
    def change(data):
        data["model"]["ignore_merges"] = True
        data["model"]["merges"] = data["model"]["merges"][:100]  # most words are in the vocabulary, out of reach

    raw = changed("llama3", change)
    encoder, library = BpeEncoder(raw, backend=backend), Library(raw)
    for text in [FRENCH, *PIECES, *corpus()[1:50]]:
        assert encoder.encode(text).tolist() == library.encode(text)


@needs_extension
def test_merges_may_be_strings():
    def change(data):
        data["model"]["merges"] = ["#version: 0.2", *(" ".join(pair) for pair in data["model"]["merges"])]

    encoder = BpeEncoder(changed("gpt2", change))
    assert encoder.native
    assert encoder.encode(FRENCH).tolist() == Library(tokenizer_json("gpt2")).encode(FRENCH)


@needs_extension
def test_gpt2_s_own_pre_tokenizer_is_native():
    def change(data):
        data["pre_tokenizer"] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        }

    raw = changed("gpt2", change)
    encoder = BpeEncoder(raw)
    assert encoder.native
    assert encoder.encode(FRENCH).tolist() == Library(raw).encode(FRENCH)


@needs_extension
def test_ids_past_65536_are_uint32():
    def change(data):
        vocab = data["model"]["vocab"]
        for text in list(vocab)[len(SPECIAL) :]:
            vocab[text] += 70_000
        vocab.update({f"<filler {n}>": n for n in range(len(SPECIAL), 70_000 + len(SPECIAL))})

    raw = changed("french", change)
    encoder, library = BpeEncoder(raw), Library(raw)
    assert encoder.native
    assert encoder.dtype == np.uint32
    for text in [FRENCH, *corpus()]:
        ids = encoder.encode(text)
        assert ids.dtype == np.uint32
        assert ids.tolist() == library.encode(text)
        assert encoder.decode(ids) == text


@every_pattern
def test_a_batch_is_its_texts_one_by_one(pairs, pattern):
    encoder, _ = pairs[pattern]
    texts = [*PIECES, "", FRENCH, FRENCH.encode(), ""]
    ids, offsets = encoder.encode_batch(texts)
    assert ids.dtype == np.uint16
    assert offsets.dtype == np.int64
    assert len(offsets) == len(texts) + 1
    for text, start, end in zip(texts, offsets, offsets[1:], strict=False):
        assert ids[start:end].tolist() == encoder.encode(text).tolist()
    empty_ids, empty_offsets = encoder.encode_batch([])
    assert len(empty_ids) == 0
    assert empty_offsets.tolist() == [0]
    with pytest.raises(TypeError, match="sequence of texts"):
        encoder.encode_batch("one text")


@pytest.mark.parametrize("backend", ["auto", "library", "reference"])
def test_bytes_that_are_not_utf8_are_refused_with_the_offset(backend):
    encoder = BpeEncoder(tokenizer_json("french"), backend=backend)
    tails = st.sampled_from(
        [b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff", b"\x80", b"\xc3", b""]
    )

    @settings(max_examples=200, deadline=None)
    @given(st.one_of(st.binary(max_size=20), st.builds(lambda a, b, c: a.encode() + b + c, any_text, tails, tails)))
    def check(data):
        try:
            data.decode()
        except UnicodeDecodeError as error:
            with pytest.raises(ValueError, match=rf"byte 0x{data[error.start]:02x} at offset {error.start}\b"):
                encoder.encode(data)
        else:
            assert encoder.decode(encoder.encode(data)) == data.decode()

    check()


@pytest.mark.parametrize("backend", ["auto", "library", "reference"])
def test_lone_surrogates_are_refused_with_their_place(backend):
    encoder = BpeEncoder(tokenizer_json("french"), backend=backend)
    for text, place in [("\ud800", 0), ("été 😀\udfff", 5), ("a" * 50 + "\ud83d", 50)]:
        with pytest.raises(ValueError, match=rf"lone surrogate U\+{ord(text[place]):04X} at character {place}\b"):
            encoder.encode(text)
    with pytest.raises(TypeError, match="not int"):
        encoder.encode(3)


@needs_extension
def test_a_bad_text_in_a_batch_is_named(pairs):
    with pytest.raises(ValueError, match=r"text 1: .*offset 2"):
        pairs["french"][0].encode_batch(["bon", b"ab\xff"])


@pytest.mark.parametrize("backend", ["auto", "library"])
def test_decoding_is_the_library_s(pairs, backend):
    encoder = BpeEncoder(tokenizer_json("french"), backend=backend)
    library = pairs["french"][1]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.integers(0, encoder.vocab_size - 1), max_size=20))
    def check(ids):
        assert encoder.decode(ids) == library.special.decode(ids, skip_special_tokens=False)
        assert encoder.decode(np.array(ids, dtype=np.int64), special=False) == library.special.decode(ids)

    check()


@pytest.mark.parametrize("backend", ["auto", "library"])
def test_an_id_outside_the_vocabulary_is_refused(backend):
    encoder = BpeEncoder(tokenizer_json("french"), backend=backend)
    for ids in ([1, encoder.vocab_size], [0, -1], np.array([5, 2**40])):
        with pytest.raises(ValueError, match=r"at position 1; the tokenizer has ids 0 to"):
            encoder.decode(ids)
    with pytest.raises(ValueError, match="one row of integers"):
        encoder.decode([0.5])


def put_first(data: dict, *steps: dict) -> None:
    data["pre_tokenizer"]["pretokenizers"][:0] = steps


BERT = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
UNCOVERED = {
    "normalizer BertNormalizer": lambda data: data.update(normalizer=BERT),
    "normalizer Replace of Regex": lambda data: data.update(
        normalizer={"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}
    ),
    "pre_tokenizer BertPreTokenizer": lambda data: put_first(data, {"type": "BertPreTokenizer"}),
    "pre_tokenizer UnicodeScripts": lambda data: put_first(data, {"type": "UnicodeScripts"}),
    "ByteLevel twice": lambda data: put_first(data, data["pre_tokenizer"]["pretokenizers"][1]),
    "end_of_word_suffix": lambda data: data["model"].update(end_of_word_suffix="</w>"),
    "two added tokens": lambda data: data["added_tokens"].append(dict(data["added_tokens"][2], lstrip=True)),
    "without one place for the text": lambda data: data.update(
        post_processor={"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}
    ),
}


@pytest.mark.parametrize("reason", UNCOVERED)
def test_what_is_not_covered_goes_through_the_library(reason):
    raw = changed("french", UNCOVERED[reason])
    encoder, library = BpeEncoder(raw), Library(raw)
    assert not encoder.native
    assert encoder.backend == "library"
    assert reason in encoder.why_not
    for text in [FRENCH, "e\u0301t\u00e9", *PIECES[:40]]:
        assert encoder.encode(text).tolist() == library.encode(text)
        assert encoder.encode(text, special=True).tolist() == library.encode(text, special=True)
    for backend in ("cpp", "reference"):
        with pytest.raises(ValueError, match=re.escape(reason)):
            BpeEncoder(raw, backend=backend)


def test_truncation_and_padding_are_not_applied():
    def change(data):
        data["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
        data["normalizer"] = BERT  # goes through the library

    assert len(BpeEncoder(changed("french", change)).encode(FRENCH)) > 3


def test_without_the_extension_the_library_works_and_the_reason_is_given(monkeypatch):
    monkeypatch.setattr(op, "extension", lambda: (None, "jarvis_nano._bpe is not built; run: …"))
    encoder = BpeEncoder(tokenizer_json("french"))
    assert encoder.backend == "library"
    assert "not built" in encoder.why_not
    assert encoder.encode(FRENCH).tolist() == Library(tokenizer_json("french")).encode(FRENCH)
    with pytest.raises(ValueError, match="not built"):
        BpeEncoder(tokenizer_json("french"), backend="cpp")
    with pytest.raises(ValueError, match="expected auto, cpp, library, reference"):
        BpeEncoder(tokenizer_json("french"), backend="fast")


DAMAGED = {
    "not valid JSON": lambda raw: raw[: len(raw) // 2],
    'no "model"': lambda raw: b"[]",
    "a WordPiece model": lambda raw: b'{"model": {"type": "WordPiece", "vocab": {"a": 0}}}',
    'no "vocab"': lambda raw: b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}',
    'no "merges"': lambda raw: b'{"model": {"type": "BPE", "vocab": {"a": 0}}}',
    "expected two tokens": lambda raw: b'{"model": {"vocab": {"a": 0}, "merges": ["a"]}}',
    "'ab' is not in the vocabulary": lambda raw: b'{"model": {"vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}',
    "expected an integer from 0": lambda raw: b'{"model": {"vocab": {"a": -1}, "merges": []}}',
    "ids belong to two tokens": lambda raw: b'{"model": {"vocab": {"a": 1, "b": 1}, "merges": []}}',
    "the largest id is": lambda raw: b'{"model": {"vocab": {"a": 2000000000}, "merges": []}}',
    "lacks its content": lambda raw: b'{"added_tokens": [1], "model": {"vocab": {"a": 0}, "merges": []}}',
    "the file is damaged or half": lambda raw: b"[" * 100_000,
    "library refuses": lambda raw: b'{"normalizer": {"type": "x"}, "model": {"vocab": {"a": 0}, "merges": []}}',
}


@pytest.mark.parametrize("message", DAMAGED)
def test_a_damaged_file_is_refused_with_what_is_wrong(message):
    with pytest.raises(BpeFileError, match=message):
        BpeEncoder(DAMAGED[message](tokenizer_json("french")))


@needs_extension
def test_an_encoder_survives_pickle_threads_and_fork(pairs):
    encoder, library = pairs["french"]
    copy = pickle.loads(pickle.dumps(encoder))
    texts = corpus() * 3
    want = [library.encode(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert [ids.tolist() for ids in pool.map(copy.encode, texts)] == want
    if hasattr(os, "fork"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: threads were started above
            child = os.fork()
        if child == 0:
            os._exit(encoder.encode(FRENCH).tolist() != library.encode(FRENCH))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_extension
def test_other_threads_run_while_a_text_is_encoded(pairs):
    encoder, _ = pairs["french"]
    text = FRENCH * 100_000
    counted, done = 0, threading.Event()

    def count():
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(1e-4)  # lets the lock go: with the interval below nothing else would

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=count)
    try:
        sys.setswitchinterval(1000)  # the lock changes hands only where it is let go
        thread.start()
        before = counted
        encoder.encode(text)
        after = counted
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
    assert after > before


def test_reference_learns_the_commonest_pairs_first():
    assert reference.learn(["bas", "bas", "bal"], 2) == [(b"b", b"a"), (b"ba", b"s")]
    assert reference.learn(["aaa"], 5) == [(b"a", b"a"), (b"aa", b"a")]


def test_the_demonstration_shows_each_merge(capsys, tmp_path):
    assert main(["l'été"]) == 0
    shown = capsys.readouterr().out
    assert shown.index(r"\xc3 · \xa9 · t") < shown.index("ét · é") < shown.rindex("été")
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer_json("french"))
    assert main(["l'été", "--tokenizer", str(tmp_path)]) == 0
    ids = BpeEncoder(path).encode("l'été").tolist()
    assert f"{len(ids)} ids" in capsys.readouterr().out
    assert main(["l'été", "--tokenizer", str(tmp_path / "none")]) == 2
    assert "error: " in capsys.readouterr().err


def test_the_original_s_tokenizer_gives_the_library_s_ids(shared_data):
    path = shared_data / "seed/tokenizer_hf/tokenizer.json"
    encoder, library = BpeEncoder(path), Library(path.read_bytes())
    assert module is None or encoder.native
    for text in [FRENCH, *PIECES, "<|user|> Bonjour</s>"]:
        for special in (False, True):
            assert encoder.encode(text, special=special).tolist() == library.encode(text, special=special)


@needs_extension
@every_pattern
def test_novels_give_the_library_s_ids(shared_data, pairs, pattern):
    encoder, library = pairs[pattern]
    text = (shared_data / "corpus_fr/eltec_FRA00101_Adam.txt").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    assert encoder.encode(text).tolist() == library.encode(text)
    ids, _ = encoder.encode_batch(lines)
    assert ids.tolist() == [index for line in lines for index in library.encode(line)]


def test_spellings_name_known_scanners():
    assert set(SCANNERS.values()) == set(PATTERNS)
    assert SCANNERS[GPT2] == "gpt2"
    assert SCANNERS[LLAMA3] == "llama3"
    assert parse(tokenizer_json("french")).why_not == ""
    assert json.loads(tokenizer_json("french"))["model"]["type"] == "BPE"


@pytest.mark.parametrize("order", ["learnt", "reversed", "shuffled"])
def test_long_words_merge_as_the_library_does_whatever_the_ranks(order):
    # Learnt merges rise from part to whole, and a long word takes all places of a rank at once; others need the heap.
    rng = random.Random(order)
    alphabet = byte_alphabet()
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("c", "a"), ("abc", "abc"), ("a", "a"), ("aa", "aa"), ("bc", "bc")]
    merges += [("aa", "b"), ("abcabc", "ab"), ("ca", "ca"), ("aaaa", "b"), ("c", "c"), ("cc", "ab")]
    if order == "reversed":
        merges.reverse()
    if order == "shuffled":
        rng.shuffle(merges)
    vocab = {character: index for index, character in enumerate(alphabet)}
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    pre_tokenizer = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "vocab": vocab, "merges": [list(pair) for pair in merges]}
    raw = json.dumps({"pre_tokenizer": pre_tokenizer, "model": model}).encode()
    encoder, library = BpeEncoder(raw), tokenizers.Tokenizer.from_buffer(raw)
    for length in (2, 15, 16, 17, 40, 41, 100, 1000, 5000):
        for letters in ("a", "ab", "abc", "aab"):
            for text in ("".join(rng.choices(letters, k=length)), (letters * length)[:length]):
                assert encoder.encode(text).tolist() == library.encode(text).ids
