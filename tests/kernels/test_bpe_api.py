"""What BpeEncoder takes and gives beside ids of one str: buffers, lists, counts, spans, templates, files, forks."""

from __future__ import annotations

import copy
import inspect
import json
import mmap
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bpe_texts import FRENCH, PIECES, Library, any_text, changed, corpus, tokenizer_json
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.errors import UserError
from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe import files, op
from jarvis_nano.kernels.bpe.patterns import PATTERNS
from jarvis_nano.tokenizer import Tokenizer

module, why_not_built = op.extension()
needs_extension = pytest.mark.skipif(module is None, reason=why_not_built)
BACKENDS = ["library", "reference", *(["cpp"] if module else [])]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
MANY = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def encoders() -> dict[str, BpeEncoder]:
    return {backend: BpeEncoder(tokenizer_json("french"), backend=backend) for backend in BACKENDS}


# What goes in.


@every_backend
def test_a_text_may_lie_anywhere_in_memory(encoders, backend, tmp_path):
    encoder, utf8 = encoders[backend], FRENCH.encode()
    want = encoder.encode(FRENCH).tolist()
    path = tmp_path / "text"
    path.write_bytes(utf8)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        array = np.frombuffer(utf8, np.uint8)
        for text in (utf8, bytearray(utf8), memoryview(utf8), mapped, array):
            assert encoder.encode(text).tolist() == want
            assert encoder.encode_list(text) == want
            assert encoder.count(text) == len(want)
            ids, _ = encoder.encode_batch([text, text])
            assert ids.tolist() == 2 * want
    for wrong in (3, None, ["un"], memoryview(utf8)[::2]):
        with pytest.raises((TypeError, ValueError, BufferError)):
            encoder.encode(wrong)


@every_backend
def test_an_empty_text_has_no_ids_and_the_right_type(encoders, backend):
    encoder = encoders[backend]
    for text in ("", b"", memoryview(b""), np.zeros(0, np.uint8)):
        assert encoder.encode(text).dtype == np.uint16
        assert encoder.encode(text).shape == (0,)
        assert encoder.encode_list(text) == []
        assert encoder.count(text) == 0
    assert encoder.encode_batch([], as_lists=True) == []


broken = st.builds(
    lambda text, at, bad: text.encode()[:at] + bad + text.encode()[at:],
    any_text,
    st.integers(0, 30),
    st.sampled_from([b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f\x98", b"\x80\x80", b""]),
)


@every_backend
def test_replace_does_as_python_does(encoders, backend):
    encoder = encoders[backend]

    @MANY
    @given(broken)
    def check(data):
        want = encoder.encode(data.decode("utf-8", "replace")).tolist()
        assert encoder.encode(data, errors="replace").tolist() == want
        assert encoder.count(data, errors="replace") == len(want)
        assert encoder.encode_batch([b"a", data], errors="replace", as_lists=True)[1] == want

    @MANY
    @given(st.text(st.characters() | st.sampled_from("\ud800\udfffé"), max_size=30))
    def check_surrogates(text):
        want = encoder.encode(text.encode("utf-8", "replace")).tolist()
        assert encoder.encode(text, errors="replace").tolist() == want

    check()
    check_surrogates()
    with pytest.raises(ValueError, match="ignore"):
        encoder.encode("a", errors="ignore")


@every_backend
def test_strict_names_the_place(encoders, backend):
    encoder = encoders[backend]
    for call in (encoder.encode, encoder.encode_list, encoder.count):
        with pytest.raises(ValueError, match=r"byte 0xff at offset 3\b"):
            call(memoryview("éa".encode() + b"\xff"))
        with pytest.raises(ValueError, match=r"surrogate U\+D800 at character 2\b"):
            call("éa\ud800")


# What comes out.


@every_backend
def test_lists_counts_and_arrays_agree(encoders, backend):
    encoder = encoders[backend]

    @settings(max_examples=80, deadline=None)
    @given(st.lists(any_text, max_size=5), st.booleans())
    def check(texts, special):
        rows = encoder.encode_batch(texts, special=special, as_lists=True)
        ids, offsets = encoder.encode_batch(texts, special=special)
        assert rows == [ids[a:b].tolist() for a, b in pairwise(offsets)]
        assert rows == [encoder.encode(text, special=special).tolist() for text in texts]
        assert rows == [encoder.encode_list(text, special=special) for text in texts]
        assert [len(row) for row in rows] == [encoder.count(text, special=special) for text in texts]

    check()


def test_the_ids_of_a_list_are_plain_integers(encoders):
    for encoder in encoders.values():
        assert {type(index) for index in encoder.encode_list(FRENCH)} == {int}
        assert {type(index) for index in encoder.encode_batch([FRENCH], as_lists=True)[0]} == {int}


@needs_extension
def test_the_hot_methods_cost_no_frame_of_python_and_have_the_documented_names(encoders):
    encoder = encoders["cpp"]
    tokenizer = Tokenizer({"tokenizer.json": tokenizer_json("french")})
    for name in ("encode", "encode_list", "count"):
        for owner in (encoder, tokenizer):
            assert not inspect.isfunction(getattr(getattr(owner, name), "__func__", None)), name
            documented = inspect.signature(getattr(type(owner), name))
            assert [*documented.parameters][1:] == ["text", "special", "errors", "template"]
            assert getattr(type(owner), name).__doc__
            getattr(owner, name)(text="l'été", special=True, errors="replace", template=True)


# Spans.


@every_backend
def test_spans_are_those_of_the_library(backend):
    """The library's character spans, where its ByteLevel post-processor does not trim them."""
    encoder, library = BpeEncoder(tokenizer_json("gpt2"), backend=backend), Library(tokenizer_json("gpt2"))

    @settings(max_examples=100, deadline=None)
    @given(any_text)
    def check(text):
        spans = encoder.offsets(text)
        encoding = library.plain.encode(text, add_special_tokens=False)
        assert spans.characters.tolist() == [list(span) for span in encoding.offsets]
        assert spans.bytes.dtype == spans.characters.dtype == np.int64
        pieces = encoder.pieces(text)
        assert b"".join(piece.bytes for piece in pieces) == text.encode()
        assert [piece.id for piece in pieces] == encoding.ids
        for piece, (first, last) in zip(pieces, encoding.offsets, strict=True):
            assert piece.bytes in text[first:last].encode()

    check()


@every_backend
def test_spans_of_a_known_text(encoders, backend):
    encoder = encoders[backend]
    spans = encoder.offsets("à 鼠")
    assert len(encoder.encode("à 鼠")) == len(spans.bytes) == len(spans.characters)
    assert spans.bytes[-3:].tolist() == [[3, 4], [4, 5], [5, 6]]
    assert spans.characters[-3:].tolist() == [[2, 3]] * 3  # three ids for one character
    assert spans.bytes[0].tolist() == [0, 2]
    assert encoder.offsets("").bytes.shape == encoder.offsets(b"").characters.shape == (0, 2)
    piece = encoder.pieces("鼠")[0]
    assert (piece.text, piece.bytes, piece.span) == (r"\xe9", b"\xe9", (0, 1))


def test_spans_where_white_space_is_swallowed_or_text_is_normalized_are_the_library_s():
    def strip(data):
        data["added_tokens"][3].update(lstrip=True, rstrip=True)

    def normalize(data):
        data["normalizer"] = {"type": "NFKC"}

    for change, text in ((strip, "un <|end|>  deux"), (normalize, "e\u0301t\u00e9 ﬁn ½ <|end|>")):
        raw = changed("french", change)
        encoding = Library(raw).special.encode(text, add_special_tokens=False)
        spans = BpeEncoder(raw).offsets(text, special=True)
        assert spans.characters.tolist() == [list(span) for span in encoding.offsets]
        for (begin, end), (first, last) in zip(spans.bytes, spans.characters, strict=True):
            assert text.encode()[begin:end] == text[first:last].encode()


# Templates.

ROBERTA = {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<unk>", 0], "trim_offsets": True}
ROBERTA |= {"add_prefix_space": False}
BEGIN_AND_END = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "two", "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {
        "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]},
        "two": {"id": "two", "ids": [2, 3], "tokens": ["<|user|>", "<|end|>"]},
    },
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
TEMPLATES = {
    "none": (None, [], []),
    "byte level": (BYTE_LEVEL, [], []),
    "roberta": (ROBERTA, [0], [1]),
    "bert": ({"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<unk>", 0]}, [0], [1]),
    "template": (BEGIN_AND_END, [1], [2, 3]),
    "sequence": ({"type": "Sequence", "processors": [BYTE_LEVEL, BEGIN_AND_END]}, [1], [2, 3]),
}


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_template_is_put_around_a_text_when_asked_for(kind, backend):
    section, before, after = TEMPLATES[kind]
    raw = changed("french", lambda data: data.update(post_processor=section))
    encoder, library = BpeEncoder(raw, backend=backend), Library(raw)
    for text in ("l'été", "", FRENCH):
        want = library.plain.encode(text, add_special_tokens=True).ids
        plain = encoder.encode(text).tolist()
        assert want == [*before, *plain, *after]
        assert encoder.encode(text, template=True).tolist() == want
        assert encoder.encode_list(text, template=True) == want
        assert encoder.count(text, template=True) == len(want)
        assert encoder.encode_batch([text, "a"], template=True, as_lists=True)[0] == want
        ids, offsets = encoder.encode_batch(["a", text], template=True)
        assert ids[offsets[1] :].tolist() == want
        assert encoder.encode(text, template=True).dtype == ids.dtype == np.uint16


def test_a_template_that_is_no_frame_is_refused_when_asked_for():
    twice = dict(BEGIN_AND_END, single=[{"Sequence": {"id": "A", "type_id": 0}}] * 2)
    raw = changed("french", lambda data: data.update(post_processor=twice))
    encoder = BpeEncoder(raw)
    assert encoder.encode("l'été").tolist() == Library(raw).encode("l'été")  # twice: the library does that unasked
    for call in (encoder.encode, encoder.encode_list, encoder.count):
        with pytest.raises(ValueError, match="no prefix and suffix of one text"):
            call("l'été", template=True)


# Files.


def _note(seen: list[tuple[int, int]], *place: int) -> None:
    seen.append((place[0], place[1]))


def test_files_are_encoded_whole(encoders, tmp_path):
    texts = [FRENCH * 40, "", "".join(PIECES), "sans espace" * 3]
    paths = [tmp_path / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    for backend, encoder in encoders.items():
        seen: list[tuple[int, int]] = []
        ids, offsets = encoder.encode_files(paths, tmp_path / backend, progress=partial(_note, seen))
        want, want_offsets = encoder.encode_batch(texts)
        assert ids.tolist() == want.tolist()
        assert ids.dtype == want.dtype
        assert offsets.tolist() == want_offsets.tolist()
        size = sum(len(text.encode()) for text in texts)
        assert seen[-1] == (size, size)
    left = {path.name for path in tmp_path.iterdir()} - {path.name for path in paths}
    assert left == {*BACKENDS, *(f"{backend}.json" for backend in BACKENDS)}
    index = json.loads((tmp_path / f"{BACKENDS[0]}.json").read_text(encoding="utf-8"))
    assert index["files"][2] == {
        "name": str(paths[2]),
        "bytes": len(texts[2].encode()),
        "offset": offsets[2],
        "ids": offsets[3] - offsets[2],
    }


@needs_extension
@pytest.mark.parametrize("pattern", PATTERNS)
def test_cutting_a_file_into_pieces_changes_no_id(pattern, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIECE", 7)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # hundreds of files
    encoder = BpeEncoder(tokenizer_json(pattern))
    assert encoder.can_be_cut(special=True)
    pieces = st.sampled_from([*PIECES, " un", "a b", "re s'en va", " x", "x", "\n"])

    @MANY
    @given(st.lists(pieces, max_size=60).map("".join), st.booleans())
    def check(text, special):
        path = tmp_path / "text"
        path.write_bytes(text.encode())
        ids, _ = encoder.encode_files([path], tmp_path / "out", special=special)
        assert ids.tolist() == encoder.encode(text, special=special).tolist()

    check()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(normalizer={"type": "Prepend", "prepend": "_"}),
        lambda data: data["added_tokens"][3].update(content="d e"),
        lambda data: data["added_tokens"][3].update(content="deux", lstrip=True),
    ],
)
def test_a_file_that_cannot_be_cut_safely_goes_in_one_piece(change, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIECE", 3)
    raw = changed("french", change)
    encoder, path = BpeEncoder(raw), tmp_path / "text"
    assert not encoder.can_be_cut(special=True)
    path.write_text("un deux d e trois deux", encoding="utf-8")
    ids, _ = encoder.encode_files([path], tmp_path / "out", special=True)
    assert ids.tolist() == Library(raw).encode("un deux d e trois deux", special=True)


def test_a_bad_file_is_named_and_nothing_is_left(encoders, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIECE", 10)
    encoder, path = encoders[BACKENDS[-1]], tmp_path / "bad.txt"
    path.write_bytes(b"un deux trois quatre cinq caf\xe9 six")
    with pytest.raises(UserError, match=r"bad\.txt is not UTF-8: byte 0xe9 at offset 29; convert it"):
        encoder.encode_files([path], tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]
    ids, _ = encoder.encode_files([path], tmp_path / "out", errors="replace")
    assert encoder.decode(ids) == "un deux trois quatre cinq caf\ufffd six"
    with pytest.raises(UserError, match="no such file"):
        encoder.encode_files([tmp_path / "none"], tmp_path / "out2")


def test_a_file_of_ids_is_a_shard_s(encoders, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(FRENCH, encoding="utf-8")
    encoder = encoders[BACKENDS[-1]]
    ids, _ = encoder.encode_files([path], tmp_path / "out")
    magic, version, itemsize, count, digest = files.HEADER.unpack((tmp_path / "out").read_bytes()[:64])
    assert (magic, version, itemsize, count) == (files.MAGIC, 1, 2, len(ids))
    tokenizer = Tokenizer({"tokenizer.json": tokenizer_json("french")})
    assert digest.hex() == tokenizer.hash
    again, offsets = tokenizer.encode_files([path, path], tmp_path / "again")
    assert again.tolist() == ids.tolist() * 2
    assert offsets.tolist() == [0, len(ids), 2 * len(ids)]


PEAK = r"""
import re, sys
from pathlib import Path
from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe import files
files.PIECE = 1 << 20
ids, _ = BpeEncoder(sys.argv[1]).encode_files(sys.argv[2:3], sys.argv[3])
print(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1], len(ids))
"""


@needs_extension
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_flat_over_a_long_file(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json("french"))
    peaks = []
    for megabytes in (4, 64):
        path = tmp_path / "long.txt"
        path.write_text(FRENCH * (megabytes * 1_000_000 // len(FRENCH.encode())), encoding="utf-8")
        command = [sys.executable, "-c", PEAK, tmp_path / "tokenizer.json", path, tmp_path / "out"]
        peak, n_ids = map(int, subprocess.check_output(command).split())
        assert n_ids > megabytes * 100_000
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 12 << 10, f"{peaks[0] >> 10} MiB for 4 MB, {peaks[1] >> 10} MiB for 64 MB"


# Elsewhere: copies, threads, processes.


def test_threads_are_those_asked_for():
    encoder = BpeEncoder(tokenizer_json("french"), n_threads=3)
    assert encoder.n_threads == 3
    assert pickle.loads(pickle.dumps(encoder)).n_threads == 3
    assert Tokenizer({"tokenizer.json": tokenizer_json("french")}, n_threads=2).encoder.n_threads == 2
    with pytest.raises(ValueError, match="n_threads is 0; expected 1 or more"):
        BpeEncoder(tokenizer_json("french"), n_threads=0)


def test_any_number_of_threads_gives_the_same_ids():
    texts = corpus()
    long = "".join(texts) * 20
    want = None
    for n_threads in (1, 2, 5, None):
        encoder = BpeEncoder(tokenizer_json("french"), n_threads=n_threads)
        found = encoder.encode(long).tolist(), encoder.encode_batch(texts * 3, as_lists=True)
        want = want or found
        assert found == want


@every_backend
def test_copies_encode_alike(encoders, backend):
    encoder = encoders[backend]
    for twin in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder), copy.copy(encoder)):
        assert twin.backend == backend
        assert twin.encode(FRENCH).tolist() == encoder.encode(FRENCH).tolist()
        assert twin.count(FRENCH) == encoder.count(FRENCH)
    tokenizer = Tokenizer({"tokenizer.json": tokenizer_json("french")}, n_threads=2)
    for twin in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert twin == tokenizer
        assert twin.encode(FRENCH).tolist() == tokenizer.encode(FRENCH).tolist()
        assert twin.encoder.n_threads == 2


def test_many_threads_share_an_encoder():
    encoder = BpeEncoder(tokenizer_json("french"))
    texts = corpus() * 2
    want = [encoder.encode_list(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(encoder.encode_list, texts)) == want
        assert [ids.tolist() for ids in pool.map(encoder.encode, texts)] == want
        batches = pool.map(lambda _: encoder.encode_batch(texts, as_lists=True), range(8))
        assert all(rows == want for rows in batches)


def _encode_in_child(encoder: BpeEncoder, texts: list[str], results) -> None:
    results.put((encoder.encode_batch(texts, as_lists=True), encoder.encode("".join(texts)).tolist()))


@needs_extension
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_other_threads_encode_does_not_hang():
    encoder, texts = BpeEncoder(tokenizer_json("french"), n_threads=2), corpus() * 2
    want = encoder.encode_batch(texts, as_lists=True), encoder.encode("".join(texts)).tolist()
    done = threading.Event()

    def keep_busy():
        while not done.is_set():
            encoder.encode_batch(texts)
            encoder.encode("".join(texts) * 5)

    busy = [threading.Thread(target=keep_busy) for _ in range(3)]
    for thread in busy:
        thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
            context = multiprocessing.get_context("fork")
            for _ in range(5):
                results = context.SimpleQueue()
                child = context.Process(target=_encode_in_child, args=(encoder, texts, results), daemon=True)
                child.start()
                reader = ThreadPoolExecutor(1)
                found = reader.submit(results.get)
                try:
                    assert found.result(timeout=60) == want
                finally:
                    child.kill()
                    child.join()
                    reader.shutdown(wait=False, cancel_futures=True)
    finally:
        done.set()
        for thread in busy:
            thread.join()


def test_a_spawned_process_gets_the_encoder(tmp_path):
    encoder = BpeEncoder(tokenizer_json("french"))
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(encoder.encode_list, (FRENCH,)) == encoder.encode_list(FRENCH)


def test_memory_maps_and_paths_are_unharmed_by_their_encoder(tmp_path: Path):
    """The encoder keeps no hold on what it read: the map closes, the file can go."""
    path = tmp_path / "text"
    path.write_text(FRENCH, encoding="utf-8")
    encoder = BpeEncoder(tokenizer_json("french"))
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        ids = encoder.encode(mapped)
        mapped.close()  # BufferError if anything still points into it
    path.unlink()
    assert encoder.decode(ids) == FRENCH
