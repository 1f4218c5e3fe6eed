"""BpeTrainer learns the merges of the tokenizers library's trainer, in its order, whatever the texts and options."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Iterable

import pytest
import tokenizers
from bpe_texts import FRENCH, PIECES, any_text
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from jarvis_nano.errors import UserError
from jarvis_nano.kernels import BpeTrainer
from jarvis_nano.kernels.bpe import op
from jarvis_nano.kernels.bpe.patterns import TRAINABLE, byte_alphabet
from jarvis_nano.kernels.bpe.reference import cut, learn
from jarvis_nano.tokenizer import SPECIAL_TOKENS
from jarvis_nano.tokenizer_training import train_tokenizer

module, why_not_built = op.extension()
pytestmark = pytest.mark.skipif(module is None, reason=why_not_built)
every_pattern = pytest.mark.parametrize("pattern", TRAINABLE)
ALPHABET = byte_alphabet()
MANY = settings(max_examples=150, deadline=None)

# Few letters make many ties, tokens spelt in two ways, and runs where a pair overlaps itself.
few_letters = st.lists(
    st.sampled_from(["a", "ab", "ab ", "aé1 ", "abc’'.-\n", "la 'é"]).flatmap(
        lambda letters: st.text(st.sampled_from(letters), max_size=60)
    ),
    min_size=1,
    max_size=8,
)
texts_of_any_kind = few_letters | st.lists(any_text, min_size=1, max_size=4)
options = st.fixed_dictionaries(
    {
        "vocab_size": st.integers(256, 330),
        "min_frequency": st.integers(0, 4),
        "special_tokens": st.lists(
            st.sampled_from(["<s>", "ab", "aa", "b", "Ġ", "é", "abab", "Ġa", "中", "ba"]), max_size=4, unique=True
        ),
        "initial_alphabet": st.sampled_from([range(256), b"", b"abx"]),
        "max_token_length": st.none() | st.integers(0, 8),
        "limit_alphabet": st.none() | st.integers(0, 300),
    }
)


def library_of(pattern: str) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(tokenizers.Regex(TRAINABLE[pattern]), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    return tokenizer


def by_library(texts: Iterable[str], pattern: str, *, initial_alphabet: Iterable[int] = range(256), **kept):
    """(merges, vocabulary) of the oracle."""
    known = {name: value for name, value in kept.items() if value is not None}
    trainer = trainers.BpeTrainer(
        initial_alphabet=[ALPHABET[b] for b in initial_alphabet], show_progress=False, **known
    )
    tokenizer = library_of(pattern)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return [tuple(merge) for merge in model["merges"]], model["vocab"]


def by_ours(texts: Iterable[str | bytes], pattern: str = "french", **kept):
    trainer = BpeTrainer(pattern=pattern, **kept)
    trainer.feed(texts)
    return trainer.train(allow_fewer=True)


def limit_is_a_tie(texts: list[str], kept: dict) -> bool:
    """Whether equally common bytes stand at both sides of limit_alphabet: then the library takes any."""
    times = Counter("".join(texts).encode())
    times.update(dict.fromkeys(kept["initial_alphabet"], 10**9))
    counts = [10**9 if count >= 10**9 else count for _, count in times.most_common()]
    limit = kept["limit_alphabet"]
    return limit is not None and 0 < limit < len(counts) and counts[limit - 1] == counts[limit]


@every_pattern
def test_merges_and_ids_are_the_library_s(pattern):
    @MANY
    @given(texts_of_any_kind, options, st.integers(1, 3))
    def check(texts, kept, n_threads):
        if limit_is_a_tie(texts, kept):
            kept["limit_alphabet"] = None
        try:
            ours = by_ours(texts, pattern, n_threads=n_threads, **kept)
        except UserError:  # no text at all, or more first tokens than vocab_size
            return
        assert ours == by_library(texts, pattern, **kept)

    check()


def test_a_merge_that_spells_a_special_token_reuses_its_id():
    texts = ["abab ab ba"] * 9
    kept = {"vocab_size": 300, "min_frequency": 2, "special_tokens": ["abab", "a", "ba", "<s>"]}
    merges, vocab = by_ours(texts, **kept)
    assert (merges, vocab) == by_library(texts, "french", **kept)
    assert (vocab["abab"], vocab["a"], vocab["ba"]) == (0, 1, 2)
    assert {("ab", "ab"), ("b", "a")} <= set(merges)


def test_words_of_many_pieces_are_merged_as_the_library_does():
    rng = random.Random(1)
    for letters in ("ab", "abcdefgh", "aé"):
        for size in (255, 256, 257, 511, 513, 3000):
            word = "".join(rng.choices(letters, k=size))
            texts = [word, letters[0] * size, letters * (size // 2), word[::-1] + " " + word[: size // 2]]
            want = by_library(texts, "french", vocab_size=340, min_frequency=2)
            assert by_ours(texts, vocab_size=340, min_frequency=2) == want, (letters, size)


@every_pattern
def test_the_readable_twin_learns_the_same(pattern):
    text = FRENCH * 3 + " ".join(PIECES)
    bytes_of = {character: bytes([byte]) for byte, character in enumerate(ALPHABET)}
    merges, _ = by_ours([text], pattern, vocab_size=256 + 120, min_frequency=0)
    spelt = [tuple(b"".join(bytes_of[c] for c in part) for part in merge) for merge in merges]
    assert spelt == learn(cut(text, pattern), 120)


@every_pattern
def test_long_texts_are_cut_for_the_threads_where_words_end(pattern):
    # Units whose only harmless place to cut is before the last word, at every phase to the parts of 32,768 characters.
    units = [".  \n  1  a b", "é '  d’ \xa0 x l' y", "aujourd' \r\n\t  hui 12 34 w z"]
    for unit in units:
        for tail in ("", "œ", "😀"):  # how Python stores it: 1, 2 or 4 bytes a character
            for phase in range(0, len(unit), 3):
                text = "." * phase + unit * (70_000 // len(unit)) + tail
                want = set(cut("." * phase + unit * 4 + tail, pattern))
                for kept in (text, text.encode()):
                    trainer = BpeTrainer(pattern=pattern, vocab_size=400, n_threads=3)
                    trainer.feed(kept)
                    assert (trainer.n_words, trainer.n_bytes) == (len(want), len(text.encode())), (unit, tail, phase)


def test_the_result_knows_nothing_of_threads_batches_or_string_storage(monkeypatch):
    texts = [FRENCH * 40, "cafe " * 100, "café " * 100, "œuf " * 100, "😀 a" * 100, "", FRENCH.upper() * 10]
    want = by_ours(texts, vocab_size=480, n_threads=1)
    assert want == by_library(texts, "french", vocab_size=480, min_frequency=2)
    assert by_ours([text.encode() for text in texts], vocab_size=480, n_threads=4) == want
    assert by_ours(iter(texts), vocab_size=480) == want
    monkeypatch.setattr("jarvis_nano.kernels.bpe.trainer.BATCH_CHARACTERS", 300)
    trainer = BpeTrainer(vocab_size=480, n_threads=2)
    for text in texts:
        trainer.feed(text)
    assert trainer.train() == want
    assert trainer.train() == want
    assert (trainer.n_texts, trainer.n_bytes) == (len(texts), sum(len(text.encode()) for text in texts))


def test_ids_past_16_bits_give_the_same_merges():
    texts = [FRENCH * 5, *PIECES]
    small, large = (by_ours(texts, vocab_size=size, min_frequency=0) for size in (60_000, 10**12))
    assert small == large


def test_special_tokens_in_the_texts_are_text():
    texts = ["<s>ab<s>ab <s>", "<s>ab"] * 3
    merges, vocab = by_ours(texts, vocab_size=270, special_tokens=["<s>"])
    assert (merges, vocab) == by_library(texts, "french", vocab_size=270, min_frequency=2, special_tokens=["<s>"])
    assert vocab["<s>"] == 0
    assert ("a", "b") in merges


@pytest.mark.parametrize("special", [(), ("f", "d"), ("bc",)])
@pytest.mark.parametrize("initial", [b"", b"gz"])
def test_bytes_past_the_limit_drop_out_of_the_words(special, initial):
    words = ["abcabc"] * 40 + ["dabdac"] * 9 + ["eaebec"] * 5 + ["ffab"] * 2 + ["gba"] * 3 + ["habch"]
    assert len(set(Counter("".join(words)).values())) == 8, "no two letters are equally common"
    for limit in range(10):
        kept = {"vocab_size": 60, "limit_alphabet": limit, "initial_alphabet": initial, "special_tokens": list(special)}
        if limit_is_a_tie(words, kept):
            continue
        assert by_ours(words, min_frequency=0, **kept) == by_library(words, "french", **kept), limit


def test_equally_common_bytes_past_the_limit_are_kept_by_their_character():
    _, vocab = by_ours(["dcba"], vocab_size=260, initial_alphabet=b"", limit_alphabet=2, min_frequency=2)
    assert vocab == {"a": 0, "b": 1}


def test_memory_grows_with_distinct_words_alone():
    trainer = BpeTrainer(vocab_size=300, n_threads=1)
    trainer.feed(FRENCH * 2)
    words, size = trainer.n_words, trainer.n_table_bytes
    trainer.feed([FRENCH * 1000, FRENCH])
    assert (trainer.n_words - words, trainer.n_table_bytes - size) == (0, 0)
    trainer.feed(" ".join(f"mot{i:x}" for i in range(20_000)).translate(str.maketrans("0123456789", "ghijklmnop")))
    assert 24 <= trainer.n_table_bytes / trainer.n_words <= 80


def test_progress_counts_bytes_then_merges():
    read, merged = [], []
    trainer = BpeTrainer(vocab_size=900)
    trainer.feed((text for text in [FRENCH, FRENCH * 30]), progress=read.append)
    trainer.train(progress=lambda done, wanted: merged.append((done, wanted)), allow_fewer=True)
    assert read == [len(FRENCH.encode()) * 31]
    assert merged == sorted(merged)
    assert merged[0][0] < merged[-1][0] <= 644 == merged[-1][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": "frensh"}, "no pattern 'frensh'; choose one of french"),
        ({"vocab_size": 100}, "vocabulary of 100 is too small: .* need 256"),
        ({"vocab_size": 256, "special_tokens": ["<s>"]}, "the bytes and 1 special tokens need 257"),
        ({"special_tokens": ["<s>", "<s>"]}, "'<s>' is given twice"),
        ({"special_tokens": [""]}, "one is empty"),
        ({"special_tokens": "<s>"}, "one text, '<s>'; expected a sequence of texts"),
        ({"initial_alphabet": [256]}, "initial_alphabet: .*256"),
        ({"min_frequency": -1}, "min_frequency is -1; expected 0 or more"),
        ({"n_threads": 0}, "n_threads is 0; expected 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        BpeTrainer(**({"vocab_size": 300} | changes))


def test_a_corpus_that_cannot_be_is_refused():
    with pytest.raises(UserError, match="holds no text"):
        by_ours(["", b""], vocab_size=300)
    trainer = BpeTrainer(vocab_size=300)
    trainer.feed("ab ab")
    with pytest.raises(UserError, match=r"reaches only 257 of 300 tokens at min_frequency 2; ask for 257"):
        trainer.train()
    with pytest.raises(UserError, match="vocabulary of 3 is too small"):
        by_ours(["abcdef"], vocab_size=3, initial_alphabet=b"")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"caf\xe9", "not UTF-8: byte 0xe9 at offset 3"),
        ("a" * 600_000 + "\nB\ud800", "lone surrogate U+D800 at character 600002: not UTF-8"),
        (b"a\n" * 300_000 + b"\xff", "not UTF-8: byte 0xff at offset 600000"),
    ],
)
def test_a_text_that_is_not_utf8_is_named_by_its_number(bad, message):
    trainer = BpeTrainer(vocab_size=300, n_threads=3)
    trainer.feed(["un", "deux"])
    with pytest.raises(UserError) as caught:
        trainer.feed([FRENCH * 3000, bad, *[b"\xff"] * 1000])
    assert str(caught.value) == f"text 4 of the corpus: {message}"
    for call in (trainer.train, lambda: trainer.feed("trois")):
        with pytest.raises(ValueError, match="start again with a new trainer"):
            call()


def test_a_text_of_another_type_is_named():
    trainer = BpeTrainer(vocab_size=257)
    with pytest.raises(TypeError, match="text 2 of the corpus is a NoneType; expected str or bytes"):
        trainer.feed(["ab ab", None])
    with pytest.raises(UserError, match="start again with a new trainer"):
        trainer.train()


def test_control_c_ends_both_steps():
    def interrupt(*_):
        raise KeyboardInterrupt

    trainer = BpeTrainer(vocab_size=2000)
    trainer.feed(FRENCH * 100)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(progress=interrupt)
    before = signal.signal(signal.SIGALRM, interrupt)
    long = FRENCH.replace("! ", "!\nA") * 200_000  # a good part of a second to count
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            trainer.feed(long)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ValueError, match="start again"):
        trainer.train()


@every_pattern
def test_tokenizer_json_is_the_one_the_library_would_write(tmp_path, pattern):
    texts = [FRENCH * 3, *PIECES, "<s> n'est que du texte </s>"]
    train_tokenizer(texts, tmp_path, vocab_size=380, pattern=pattern)
    tokenizer = library_of(pattern)
    if pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        min_frequency=2,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS],
        initial_alphabet=ALPHABET,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf-8") == tokenizer.to_str(pretty=True)


@pytest.mark.slow
@every_pattern
def test_all_of_the_novels_give_the_library_s_16384_tokens(shared_data, pattern):
    texts = [path.read_text(encoding="utf-8") for path in sorted((shared_data / "corpus_fr").glob("*.txt"))]
    kept = {"vocab_size": 16_384, "min_frequency": 2, "special_tokens": list(SPECIAL_TOKENS)}
    assert by_ours(texts, pattern, **kept) == by_library(texts, pattern, **kept)
