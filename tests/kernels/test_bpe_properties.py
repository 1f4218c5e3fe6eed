"""Properties of BpeEncoder over random texts, for tokenizers of every kind, against the tokenizers library."""

from __future__ import annotations

import functools
from itertools import pairwise

import pytest
from bpe_texts import PIECES, SPECIAL, Library, any_text
from bpe_tokenizers import BUILDERS, tokenizer_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe import op

module, why_not_built = op.extension()
pytestmark = pytest.mark.skipif(module is None, reason=why_not_built)
every_kind = pytest.mark.parametrize("kind", BUILDERS)
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Around each token: its parts, white space that it may take along, letters that make it part of a word.
TOKENS = [
    *SPECIAL,
    "<s>",
    "[mot]",
    "[m",
    "<mask>",
    "<n>",
    "<n>>",
    "--",
    "été",
    "mot",
    "Été",
    "ÉTÉ",
    "e\u0301te\u0301",
    "[x]",
]
FRAGMENTS = sorted(
    {token[:cut] for token in TOKENS for cut in range(1, len(token) + 1)} | {token[1:] for token in TOKENS}
)
joints = st.lists(
    st.one_of(
        st.sampled_from(TOKENS),
        st.sampled_from([fragment for fragment in FRAGMENTS if fragment]),
        st.sampled_from([" ", "  ", "\n", "\t", "\xa0", "\u2003", "a", "é", "\u0301", "_", "1", ".", "'"]),
    ),
    max_size=14,
).map("".join)
# Word lengths at which a cache's key, a vector or a block of 64 bytes ends, at every place within a block.
lengths = st.sampled_from([1, 7, 8, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 66, 127, 128, 129, 300])
long_words = st.lists(
    st.builds(
        lambda space, letters, length, end: space + (letters * length)[:length] + end,
        st.sampled_from(["", " ", "-", "\n", "'"]),
        st.sampled_from(["a", "é", "ab", "aé", "中", "l'", "1", " ", "\n", ".", "😀"]),
        lengths,
        st.sampled_from(["", " ", "'", "’", ",", "\r\n", "!"]),
    ),
    max_size=8,
).map("".join)
texts = st.one_of(
    any_text, joints, long_words, st.builds("".join, st.lists(st.one_of(any_text, long_words), max_size=5))
)


@functools.cache
def pair(kind: str) -> tuple[BpeEncoder, Library]:
    return BpeEncoder(tokenizer_of(kind)), Library(tokenizer_of(kind))


@every_kind
def test_ids_are_the_library_s_for_any_text(kind):
    encoder, library = pair(kind)

    @SOME
    @given(texts, st.booleans())
    def check(text, special):
        want = library.encode(text, special=special)
        assert encoder.encode(text, special=special).tolist() == want
        assert encoder.encode(text.encode(), special=special).tolist() == want
        assert encoder.encode_list(text, special=special) == want
        assert encoder.count(text, special=special) == len(want)

    check()


@every_kind
def test_ids_are_the_library_s_where_special_tokens_meet_text(kind):
    encoder, library = pair(kind)

    @SOME
    @given(joints, st.booleans())
    def check(text, special):
        assert encoder.encode(text, special=special).tolist() == library.encode(text, special=special)

    check()


@every_kind
def test_a_batch_is_its_texts_and_threads_change_nothing(kind):
    encoder, _ = pair(kind)
    threaded = BpeEncoder(tokenizer_of(kind), n_threads=3)

    @settings(SOME, max_examples=25)
    @given(st.lists(st.one_of(texts, texts.map(str.encode)), max_size=12), st.booleans())
    def check(batch, special):
        want = [encoder.encode(text, special=special).tolist() for text in batch]
        for one in (encoder, threaded):
            ids, offsets = one.encode_batch(batch, special=special)
            assert [ids[a:b].tolist() for a, b in pairwise(offsets.tolist())] == want
            assert one.encode_batch(batch, special=special, as_lists=True) == want

    check()


@every_kind
def test_bytes_are_judged_as_python_judges_them(kind):
    encoder, _ = pair(kind)
    pieces = st.one_of(
        st.binary(max_size=6),
        st.sampled_from(PIECES).map(str.encode),
        st.sampled_from([b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xff"]),
        st.integers(0, 70).map(lambda length: b"a" * length),
    )

    @settings(SOME, max_examples=40)
    @given(st.lists(pieces, max_size=10).map(b"".join))
    def check(data):
        try:
            data.decode()
        except UnicodeDecodeError as error:
            with pytest.raises(ValueError, match=rf"byte 0x{data[error.start]:02x} at offset {error.start}\b"):
                encoder.encode(data)
        replaced = encoder.encode(data.decode("utf-8", "replace")).tolist()
        assert encoder.encode(data, errors="replace").tolist() == replaced

    check()


@every_kind
def test_decoding_is_the_library_s(kind):
    encoder, library = pair(kind)
    # The library reads the letters of an added token as if they stood for bytes; ours gives the token's text.
    misread = {index for text, index in encoder.added_tokens.items() if not text.isascii()}
    ids = st.integers(0, encoder.vocab_size - 1).filter(lambda index: index not in misread)

    @settings(SOME, max_examples=40)
    @given(st.lists(ids, max_size=20))
    def check(ids):
        assert encoder.decode(ids) == library.special.decode(ids, skip_special_tokens=False)
        assert encoder.decode(ids, special=False) == library.special.decode(ids, skip_special_tokens=True)

    check()


def test_at_least_eight_kinds_are_native():
    native = [kind for kind in BUILDERS if pair(kind)[0].native]
    assert len(native) >= 8, native
