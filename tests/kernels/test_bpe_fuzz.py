"""The fuzzer, a little of it always and minutes of it in the slow tests; the C++ under sanitizers; a whole corpus."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import fuzz_bpe
import numpy as np
import pytest
import sanitize
from bpe_random_texts import random_bytes, random_text
from bpe_texts import Library
from bpe_tokenizers import BUILDERS, tokenizer_of

from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe import op

module, why_not_built = op.extension()
pytestmark = pytest.mark.skipif(module is None, reason=why_not_built)
FOLDER = Path(__file__).resolve().parent
CASES = 600
MINUTES = 2


def test_a_slice_of_the_fuzzer_finds_no_difference():
    for number in range(CASES):
        fuzz_bpe.run_case(2026, number)


def test_a_case_is_a_function_of_its_number():
    for make in (random_text, random_bytes):
        assert make(random.Random("1:7")) == make(random.Random("1:7"))
    assert len({random_text(random.Random(number)) for number in range(50)}) > 45


def test_the_fuzzer_shrinks_a_difference_to_what_makes_it(monkeypatch):
    def check(text):
        fuzz_bpe.expect("number of œ after a space", text.count(" œ"), 0)

    with pytest.raises(fuzz_bpe.Difference, match=r"text = ' œ'\n"):
        fuzz_bpe.shrink("Un bel œillet, des œufs et un œil." * 50, check, "a made-up difference")


def test_the_fuzzer_reports_a_wrong_id(monkeypatch):
    pair = fuzz_bpe.Pair("gpt2")
    right = pair.ours.encode

    def wrong(text, special=False, errors="strict"):
        ids = right(text, special=special, errors=errors)
        return (
            ids[:-1] if "\u202f" in (text if isinstance(text, str) else bytes(text).decode("utf-8", "replace")) else ids
        )

    monkeypatch.setattr(pair.ours, "encode", wrong)
    with pytest.raises(fuzz_bpe.Difference, match="encode"):
        fuzz_bpe.shrink("Il dit :\u202f« oui ».", lambda text: fuzz_bpe.check_text(pair, text, False), "gpt2")


@pytest.mark.slow
def test_minutes_of_the_fuzzer_find_no_difference():
    command = [sys.executable, FOLDER / "fuzz_bpe.py", "--minutes", str(MINUTES), "--seed", "11"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


def sanitized(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if why := sanitize.missing(kind):
        pytest.skip(why)
    return sanitize.build("bpe", kind, tmp_path_factory.mktemp(kind))


@pytest.mark.slow
def test_addresses_and_undefined_behaviour_are_clean(tmp_path_factory):
    folder = sanitized("address", tmp_path_factory)
    tests = [FOLDER / "test_bpe.py", FOLDER / "test_bpe_properties.py"]
    fuzz = [FOLDER / "fuzz_bpe.py", "--minutes", str(MINUTES), "--seed", "12"]
    for arguments in (fuzz, ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *tests]):
        ran = sanitize.run("address", folder, [str(argument) for argument in arguments])
        assert ran.returncode == 0, ran.stdout[-6000:]


@pytest.mark.slow
def test_threads_do_not_race(tmp_path_factory):
    folder = sanitized("thread", tmp_path_factory)
    ran = sanitize.run("thread", folder, ["-c", sanitize.RACES, *sanitize.race_tokenizers(folder)])
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "no race" in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", BUILDERS)
def test_all_of_corpus_fr_gives_the_library_s_ids(shared_data, kind):
    encoder, library = BpeEncoder(tokenizer_of(kind)), Library(tokenizer_of(kind))
    for path in sorted((shared_data / "corpus_fr").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        # The library takes seconds a megabyte on one text: it gets what lies between blank lines, a text each.
        parts = text.split("\n\n")
        ids, offsets = encoder.encode_batch(parts)
        rows = library.plain.encode_batch_fast(parts, add_special_tokens=False)
        want = np.array([index for row in rows for index in row.ids], dtype=ids.dtype)
        assert np.array_equal(ids, want), f"{path.name}: part {first_other(ids, want, offsets)}"
        if encoder.byte_level and len(text) < 300_000:
            assert encoder.encode(text).tolist() == library.encode(text), path.name


def first_other(ids: np.ndarray, want: np.ndarray, offsets: np.ndarray) -> int:
    """The part that holds the first id that differs."""
    least = min(len(ids), len(want))
    places = np.flatnonzero(ids[:least] != want[:least])
    return int(np.searchsorted(offsets, places[0] if len(places) else least, side="right")) - 1


@pytest.mark.parametrize("kind", BUILDERS)
def test_where_a_long_text_is_cut_in_parts_changes_no_id(kind):
    encoder, library = BpeEncoder(tokenizer_of(kind), n_threads=2), Library(tokenizer_of(kind))
    rng = random.Random(3)
    # Every kind of end of a line, again and again: whatever place is chosen, some text has each of them there.
    ends = ["\n\n", "\n", " \n", "\r\n", "\n \n", ".\n", "\t\n\n", "\u3000\n", " ", "  ", "1\n", "'\n"]
    for _ in range(3):
        text = "".join("mot" + rng.choice(ends) + rng.choice(["L'été", "l", "Z9", "a  b"]) for _ in range(30_000))
        assert encoder.encode(text).tolist() == library.encode(text)
