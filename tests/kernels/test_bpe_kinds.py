"""Every kind of tokenizer.json met in practice: the ids are the library's, natively; damaged files are refused."""

from __future__ import annotations

import base64
import json
import pickle
import random
import time
import unicodedata

import pytest
import tokenizers
from bpe_kinds import KINDS, SPECIALS, added, edited, metaspace, normalizers, replace, sequence, split, tokenizer_of
from bpe_texts import FRENCH, PIECES, SPECIAL, Library, any_text, tokenizer_json
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe import BpeFileError, op
from jarvis_nano.kernels.bpe.patterns import PATTERNS
from jarvis_nano.kernels.bpe.template import Template
from jarvis_nano.kernels.bpe.tiktoken_file import TIKTOKEN_PATTERNS
from jarvis_nano.kernels.bpe.tokenizer_file import parse

module, why_not_built = op.extension()
needs_extension = pytest.mark.skipif(module is None, reason=why_not_built)
every_kind = pytest.mark.parametrize("kind", KINDS)

# What normalizers, units and added tokens stumble over, beside the pieces of bpe_texts.
WORDS = (
    "<unk> <s> </s> <mask> ▁<PRE> ▁<SUF> Mot MOT mot été ÉTÉ e\u0301te\u0301 l' '' ▁ ▁▁ a▁b ½ ① ﬁ Å ﷺ 각 ᄀ ᅡ ᆨ "
    "e\u0301\u0323 e\u0323\u0301 \u0344 \u0f73 A É ÀB ABCd AbC 'S // /\n ²³ 123456 １２ ٣٤٥ 中文字 ひらがな \t\t Ⓐ İ ẞ"
)
WORD_PIECES = WORDS.split(" ")
pieces = st.sampled_from([*PIECES, *SPECIAL, *WORD_PIECES, " ", " ", " "])
text_of_pieces = st.lists(pieces, max_size=40).map("".join)
marks = st.sampled_from([chr(code) for code in range(0x300, 0x3100) if unicodedata.combining(chr(code))])
marked = st.lists(st.one_of(marks, st.sampled_from("aeoéA한ᄒ ")), max_size=12).map("".join)
hostile_text = st.one_of(any_text, text_of_pieces, marked)


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[BpeEncoder, Library]]:
    return {kind: (BpeEncoder(tokenizer_of(kind)), Library(tokenizer_of(kind))) for kind in KINDS}


def agree(encoder: BpeEncoder, library: Library, texts: st.SearchStrategy, examples: int) -> None:
    """Fails on a text that the two encode differently."""

    @settings(max_examples=examples, deadline=None)
    @given(texts)
    def check(text):
        for special in (False, True):
            want = library.encode(text, special=special)
            assert encoder.encode(text, special=special).tolist() == want
            assert encoder.encode(text.encode(), special=special).tolist() == want

    check()


@needs_extension
@every_kind
def test_a_kind_is_native_and_its_ids_are_the_library_s(pairs, kind):
    encoder, library = pairs[kind]
    assert encoder.native, encoder.why_not
    agree(encoder, library, hostile_text, 120)


@every_kind
def test_the_readable_twin_knows_every_kind(pairs, kind):
    agree(BpeEncoder(tokenizer_of(kind), backend="reference"), pairs[kind][1], hostile_text, 30)


@needs_extension
@every_kind
def test_a_novel_gives_the_library_s_ids(shared_data, pairs, kind):
    encoder, library = pairs[kind]
    text = (shared_data / "corpus_fr/eltec_FRA00101_Adam.txt").read_text(encoding="utf-8")[:300_000]
    parts = [text[at : at + 997] for at in range(0, len(text), 997)]
    ids, _ = encoder.encode_batch(parts)
    assert ids.tolist() == [index for part in parts for index in library.encode(part)]
    # Longer than the parts in which normalizing kinds take a text.
    assert encoder.encode(text).tolist() == library.encode(text)


@needs_extension
@every_kind
def test_no_kind_takes_quadratic_time(pairs, kind):
    encoder, _ = pairs[kind]
    units = ("a", " ", "\n", "é", "l'", "'s", "1", ".", "😀", "A中", "\u0301\u0323", "<s>", "▁", "가")
    for unit in units:
        text = unit * (200_000 // len(unit.encode()))
        for special in (False, True):
            started = time.perf_counter()
            encoder.encode(text, special=special)
            # 0.1 s at most on an idle machine; a quadratic step over 200,000 bytes takes minutes.
            assert time.perf_counter() - started < 5, (kind, unit)


@needs_extension
@pytest.mark.parametrize("name", PATTERNS)
def test_the_matcher_cuts_as_the_engine_does(name):
    """The patterns that have scanners, run by the matcher instead."""
    data = json.loads(tokenizer_of("llama3"))
    data["pre_tokenizer"]["pretokenizers"][0] = split(f"(?:{PATTERNS[name]})")
    raw = json.dumps(data).encode()
    if module.refusal(f"(?:{PATTERNS[name]})"):
        assert name == "bloom"  # a class within a class
        return
    encoder, library = BpeEncoder(raw), Library(raw)
    assert encoder.scanner == "regex"
    agree(encoder, library, hostile_text, 150)


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
REGEXES = [
    r"\s+",
    r"[aeé]+?" r"x",
    "l'?",
    r"\p{Lu}\p{Ll}+",
    r"(?=\S)\W+",
    r"\s+$",
    r"a|é|\d{2,3}",
    r"[^\s]{3}",
    r"(?i:'s)",
    ".",
]


@needs_extension
@pytest.mark.parametrize("behavior", BEHAVIORS)
@pytest.mark.parametrize("invert", [False, True])
def test_every_behavior_of_split(behavior, invert):
    for regex in REGEXES:
        if module.refusal(regex):
            continue
        raw = edited(
            "original", lambda data, regex=regex: data.update(pre_tokenizer=split(regex, behavior, invert=invert))
        )
        encoder, library = BpeEncoder(raw), Library(raw)
        assert encoder.native
        agree(encoder, library, text_of_pieces, 25)


@needs_extension
def test_a_pattern_that_the_matcher_lacks_goes_through_the_library():
    refused = [
        r"(?<=a)b",
        r"a*?",
        r"\bmot",
        r"(a)\1",
        r"[a-z&&[^e]]",
        r"\X",
        "a**",
        r"(?i:é)",
        "()",
        r"\p{Greek}",
        "[[",
    ]
    for regex in refused:
        assert module.refusal(regex), regex
    raw = edited("gpt2", lambda data: data.update(pre_tokenizer=sequence(split(refused[0]), data["pre_tokenizer"])))
    encoder = BpeEncoder(raw)
    assert encoder.backend == "library"
    assert refused[0] in encoder.why_not
    assert encoder.encode(FRENCH).tolist() == Library(raw).encode(FRENCH)


@needs_extension
def test_the_matcher_is_not_exponential():
    regex = r"\s*\s*\s*\s*x|\p{L}*\p{L}*\p{L}*1|."
    raw = edited("llama3", lambda data: data["pre_tokenizer"]["pretokenizers"].insert(0, split(regex)))
    encoder = BpeEncoder(raw)
    assert encoder.native
    started = time.perf_counter()
    encoder.encode(" " * 300 + "a" * 300)
    assert time.perf_counter() - started < 20


def test_merges_may_repeat_and_ids_may_have_holes():
    def change(data):
        merges, vocab = data["model"]["merges"], data["model"]["vocab"]
        merges += [*merges[40:60], *merges[5:9]]
        for text in list(vocab)[700:]:
            vocab[text] += 900
        data["added_tokens"] = [*SPECIALS[:3], added("[neuf]", id=77_777, special=False)]

    raw = edited("gpt2", change)
    encoder, library = BpeEncoder(raw), Library(raw)
    for text in [FRENCH, "été [neuf] [neuf", *PIECES]:
        assert encoder.encode(text).tolist() == library.encode(text)
    # The library passes over the id that the file gives a new token.
    assert encoder.added_tokens["[neuf]"] == library.plain.token_to_id("[neuf]")


def test_templates_are_read():
    def of(processor):
        return parse(edited("gpt2", lambda data: data.update(post_processor=processor))).template

    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    template = {
        "type": "TemplateProcessing",
        "single": [*single, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2, 3]}},
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    assert of(None) == of(byte_level) == Template((), ())
    assert of(template) == of({"type": "Sequence", "processors": [byte_level, template]}) == Template((1,), (2, 3))
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True}
    assert of(roberta) == Template((0,), (2,))
    assert of({"type": "Sequence", "processors": [roberta, template]}) == Template((1, 0), (2, 2, 3))
    assert of(template | {"single": []}) is None
    for damaged in (
        template | {"single": [7]},
        template | {"special_tokens": []},
        roberta | {"sep": 3},
        [],
        {"type": 1},
    ):
        with pytest.raises(BpeFileError, match="post_processor"):
            of(damaged)


def ranks_of(kind: str) -> dict[bytes, int]:
    words = sorted(parse(tokenizer_of(kind)).words().items(), key=lambda item: (len(item[0]) > 1, item[1]))
    return {word: rank for rank, (word, _) in enumerate(words)}


def tangled_ranks(seed: int) -> dict[bytes, int]:
    """A vocabulary in which a token is made in many ways, of ranks without order."""
    rng = random.Random(seed)
    parts = [b"a", b"b", "é".encode(), b" ", b"'", b"\n"]
    words = {bytes([byte]) for byte in range(256)} | {
        b"".join(rng.choices(parts, k=rng.randint(2, 8))) for _ in range(900)
    }
    order = sorted(words)
    rng.shuffle(order)
    return {word: rank for rank, word in enumerate(order)}


@needs_extension
@pytest.mark.parametrize("pattern", ["r50k_base", "cl100k_base", "o200k_base", "french"])
@pytest.mark.parametrize("ranks", [ranks_of("llama3"), tangled_ranks(3)], ids=["trained", "tangled"])
def test_a_tiktoken_rank_file_gives_tiktoken_s_ids(tmp_path, pattern, ranks):
    tiktoken = pytest.importorskip("tiktoken")
    path = tmp_path / "test.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(word) + b" %d\n" % rank for word, rank in ranks.items()))
    special = {"<|end|>": len(ranks), "<s>": len(ranks) + 7}
    encoder = pickle.loads(pickle.dumps(BpeEncoder.from_tiktoken(path, pattern=pattern, special_tokens=special)))
    oracle = tiktoken.Encoding(
        "test",
        pat_str=TIKTOKEN_PATTERNS.get(pattern) or PATTERNS[pattern],
        mergeable_ranks=ranks,
        special_tokens=special,
    )

    @settings(max_examples=150, deadline=None)
    @given(st.one_of(hostile_text, st.text("ab é'\n", max_size=40)))
    def check(text):
        ids = encoder.encode(text)
        assert ids.tolist() == oracle.encode_ordinary(text)
        assert encoder.decode(ids) == text
        assert encoder.encode(text, special=True).tolist() == oracle.encode(text, allowed_special="all")

    check()


@needs_extension
def test_a_damaged_rank_file_is_refused(tmp_path):
    path = tmp_path / "test.tiktoken"
    bytes_only = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    damaged = {
        "line 257": bytes_only + b"zork\n",
        "line 2 ": b"YQ== 0\n%%% 1\n",
        "there already": bytes_only + b"YQ== 300\n",
        "have no rank": b"YQ== 0\n",
        "two tokens": bytes_only + b"YWI= 7\n",
        "largest id": bytes_only + b"YWI= 7000000\n",
    }
    for message, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(BpeFileError, match=message):
            BpeEncoder.from_tiktoken(path, pattern="gpt2")
    path.write_bytes(bytes_only)
    with pytest.raises(BpeFileError, match="id of its own"):
        BpeEncoder.from_tiktoken(path, pattern="gpt2", special_tokens={"<s>": 3})
    with pytest.raises(ValueError, match="needs the cpp backend"):
        BpeEncoder.from_tiktoken(path, pattern=r"(?<=a)b")


DAMAGED = {
    '"normalizer" is': {"normalizer": ["NFC"]},
    "expected an object with a type": {"normalizer": normalizers({"kind": "NFC"})},
    'for "normalizers"': {"normalizer": {"type": "Sequence", "normalizers": {"type": "NFC"}}},
    "strip_left": {"normalizer": {"type": "Strip", "strip_left": 3}},
    'for "content"': {"normalizer": replace("a", "b") | {"content": None}},
    '"String"': {"normalizer": replace("a", "b") | {"pattern": "a"}},
    "the behavior 'Zork'": {"pre_tokenizer": split(" ", "Zork")},
    'for "invert"': {"pre_tokenizer": split(" ") | {"invert": "no"}},
    "prepend_scheme 'sometimes'": {"pre_tokenizer": metaspace("sometimes")},
    "expected one character": {"pre_tokenizer": metaspace("first") | {"replacement": "__"}},
    '"decoder" is': {"decoder": 7},
    '"added_tokens" is': {"added_tokens": {"<s>": 1}},
    "neither true nor false": {"added_tokens": [added("<s>", special="yes")]},
    'version "2.0"|version .2.0.': {"version": "2.0"},
}


@pytest.mark.parametrize("message", DAMAGED)
def test_a_damaged_section_is_refused_with_what_is_wrong(message):
    with pytest.raises(BpeFileError, match=message):
        BpeEncoder(edited("gpt2", lambda data: data.update(DAMAGED[message])))


MODELS = {
    "stands twice": b'{"model": {"vocab": {"a": 0, "a": 1}, "merges": []}}',
    "belong to two tokens": b'{"model": {"vocab": {"a": 1, "b": 1}, "merges": []}}',
    "not Unicode": rb'{"model": {"vocab": {"\ud800": 1}, "merges": []}}',
    "not valid JSON": b'{"model": {"vocab": {"a": ' + b"9" * 6000 + b"}}}",
    "half-written": b'\xff{"model": {}}',
    "expected true or false": b'{"model": {"vocab": {"a": 0}, "merges": [], "fuse_unk": "yes"}}',
    "expected a text or null": b'{"model": {"vocab": {"a": 0}, "merges": [], "unk_token": 3}}',
    "expected a number": b'{"model": {"vocab": {"a": 0}, "merges": [], "dropout": "x"}}',
    "expected two tokens": b'{"model": {"vocab": {"a": 0}, "merges": [{"a": "a"}]}}',
    "is not in the vocabulary": b'{"model": {"vocab": {"a": 0}, "merges": [["a", "a"]]}}',
}


@pytest.mark.parametrize("message", MODELS)
def test_a_damaged_model_is_refused_with_what_is_wrong(message):
    with pytest.raises(BpeFileError, match=message):
        BpeEncoder(MODELS[message])


def test_any_part_replaced_by_nonsense_is_an_error_or_the_library_s_ids():
    rng = random.Random(4)
    nonsense = [
        None,
        True,
        -1,
        1.5,
        10**30,
        "",
        "\ud800",
        [],
        {},
        [[]],
        {"a": 1},
        {"type": "NFC"},
        {"Regex": "("},
        "▁▁",
    ]

    def places(node, path=()):
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in list(items)[:40]:
            yield (*path, key)
            yield from places(child, (*path, key))

    for kind in ("original", "falcon", "llama2", "metaspace-first", "strip"):
        for path in places(json.loads(tokenizer_of(kind))):
            data = json.loads(tokenizer_of(kind))
            parent = data
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = rng.choice(nonsense)
            raw = json.dumps(data).encode()
            try:
                encoder, library = BpeEncoder(raw), Library(raw)
            except ValueError:
                continue
            if "unk_token" in encoder.why_not:  # the library's own refusal, at the first unknown character
                continue
            ids = encoder.encode("l'été").tolist()
            assert ids == library.encode("l'été"), path


def test_a_file_of_a_gigabyte_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.write(b'{"model": {"vocab": {')
        file.truncate(1 << 30)  # sparse: no gigabyte is written
    started = time.perf_counter()
    with pytest.raises(BpeFileError, match="1024 MiB"):
        BpeEncoder(path)
    assert time.perf_counter() - started < 2


def test_cyclic_merges_end():
    raw = b"""{"model": {"type": "BPE", "vocab": {"a": 0, "": 1, "aa": 2}, "unk_token": "",
               "merges": [["a", ""], ["", "a"], ["", ""], ["a", "a"], ["aa", ""]]}}"""
    encoder, library = BpeEncoder(raw), Library(raw)
    for text in ("aaa", "axaxx", "xxxx", ""):
        assert encoder.encode(text).tolist() == library.encode(text)


def test_the_normalizers_are_the_library_s_on_every_character():
    """Through an encoder whose only step they are, so that ids tell the characters apart."""
    characters = "".join(chr(code) for code in range(0x20, 0x3000) if not 0xD800 <= code < 0xE000)
    for step in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        raw = edited("whole", lambda data, step=step: data.update(normalizer={"type": step}))
        encoder, library = BpeEncoder(raw), Library(raw)
        for text in (characters, *(characters[at : at + 50] for at in range(0, 3000, 50))):
            assert encoder.encode(text).tolist() == library.encode(text), step


@pytest.mark.slow
def test_the_tables_are_those_of_the_installed_library():
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).resolve().parents[2] / "csrc/make_normalization_tables.py"
    ran = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert ran.stdout == "equal\n", ran.stdout + ran.stderr


@needs_extension
@pytest.mark.parametrize("name", ["o200k", "tekken"])
def test_words_of_capitals_and_small_letters(name):
    whole = pre_tokenizers.Split(Regex(PATTERNS[name]), behavior="isolated")

    @settings(max_examples=300, deadline=None)
    @given(st.text("aAé中ʰ\u0301'sS /\n1 ǅ.", max_size=30))
    def check(text):
        assert module.split(name, text) == [word for word, _ in whole.pre_tokenize_str(text)]

    check()


@needs_extension
@pytest.mark.parametrize("name", ["o200k", "tekken"])
def test_a_word_longer_than_a_window_is_one(pairs, name):
    encoder, library = pairs[name]
    for middle in ("中", "é", " ", "\u0301", "ʰ", ""):
        for size in (16_300, 16_384, 33_000):
            text = f"un {middle}{'AB' * (size // 2)}{middle} mot" * 2
            assert encoder.encode(text).tolist() == library.encode(text)


def test_a_trained_tokenizer_still_loads():
    assert parse(tokenizer_json("french")).why_not == ""
    assert tokenizers.Tokenizer.from_buffer(tokenizer_json("french")).get_vocab_size()
