"""The vector scanners and UTF-8 code against the code by character, on each instruction set of this processor."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from bpe_kinds import BYTE_LEVEL
from bpe_random_texts import random_bytes, random_text

from jarvis_nano.kernels.bpe import BpeEncoder
from jarvis_nano.kernels.bpe.op import extension
from jarvis_nano.kernels.bpe.patterns import PATTERNS, byte_alphabet

SETS = ("portable", "avx2", "avx512")

module, not_built = extension()
pytestmark = pytest.mark.skipif(module is None, reason=not_built)


def byte_file() -> bytes:
    """A tokenizer.json of the 256 bytes: encoding shows what became of the text's own bytes."""
    vocab = {character: byte for byte, character in enumerate(byte_alphabet())}
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    return json.dumps({"pre_tokenizer": BYTE_LEVEL, "decoder": {"type": "ByteLevel"}, "model": model}).encode()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_blocks_cut_as_characters_do(pattern):
    rng = random.Random(f"blocks {pattern}")
    for _ in range(300):
        text = random_text(rng, rng.choice([70, 200, 2000]))
        assert module.split(pattern, text, False) == module.split(pattern, text, True), text


@pytest.mark.parametrize("border", range(1, 130, 7))
def test_what_crosses_a_block_is_cut_alike(border):
    pieces = [
        "'s",
        "'ſx",
        "l'eau",
        "aujourd’hui",
        "1234567",
        "«\xa0mot\u202f»",
        " \n \n  x",
        "(((\r\n\r\n x",
        "é",
        "\t-il",
    ]
    for pattern in PATTERNS:
        for piece in pieces:
            for filler in ("a", " ", "1", ".", "é", "\n"):
                text = filler * border + piece + filler * 70
                assert module.split(pattern, text, False) == module.split(pattern, text, True), (pattern, text)


def test_a_str_becomes_its_utf8():
    encoder = BpeEncoder(byte_file())
    rng = random.Random("strings")
    for letters in ("abc é", "abcéœ’…", "ab\u07ff\u0800\uffff", "a😀é’b\U0010ffff", "éàü", "abc"):
        for length in (*range(70), 127, 128, 129, 5000, 20_000):
            text = "".join(rng.choices(letters, k=length))
            assert bytes(encoder.encode(text).astype("uint8")) == text.encode()


def test_a_lone_surrogate_is_named_wherever_it_stands():
    encoder = BpeEncoder(byte_file())
    for before, after in (("a", "b"), ("é", "é"), ("’", "a"), ("😀", "😀"), ("a", "😀")):
        for place in (0, 1, 15, 16, 31, 32, 33, 63, 64, 100, 15_000):
            text = before * place + "\ud8ff" + after * 90
            with pytest.raises(ValueError, match=rf"lone surrogate U\+D8FF at character {place}: not UTF-8"):
                encoder.encode(text)
            assert bytes(encoder.encode(text, errors="replace").astype("uint8")) == text.encode("utf-8", "replace")


def test_bytes_that_are_no_utf8_are_named_as_python_names_them():
    encoder = BpeEncoder(byte_file())
    rng = random.Random("bytes")
    n_refused = 0
    for _ in range(3000):
        data = random_bytes(rng)
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            n_refused += 1
            with pytest.raises(ValueError, match=f"at offset {error.start}$"):
                encoder.encode(data)
            text = data.decode("utf-8", "replace")
        assert bytes(encoder.encode(data, errors="replace").astype("uint8")) == text.encode()
    assert 500 < n_refused < 2900


def run_with(instructions: str, *files: Path) -> None:
    """Run tests in a process of their own that is told its instruction set."""
    here = module.instructions()
    if SETS.index(instructions) >= SETS.index(here):
        pytest.skip(f"this run is on {here} already")
    program = (
        "import sys, pytest\nfrom jarvis_nano.kernels.bpe.op import extension\n"
        f"assert extension()[0].instructions() == {instructions!r}\n"
        f"sys.exit(pytest.main(['-qx', '-p', 'no:cacheprovider', *{[str(file) for file in files]!r}, "
        "'-k', 'not instruction and not slow']))"
    )
    environment = {**os.environ, "JARVIS_NANO_CPU": instructions}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("instructions", SETS[:-1])
def test_every_instruction_set_passes_these_tests(instructions):
    run_with(instructions, Path(__file__))


@pytest.mark.slow
@pytest.mark.parametrize("instructions", SETS[:-1])
def test_every_instruction_set_encodes_every_kind(instructions):
    run_with(instructions, Path(__file__).with_name("test_bpe_kinds.py"), Path(__file__).with_name("test_bpe.py"))
