"""Files, texts and callers that mean harm, or only do it: memory stays whole and ids stay right."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
import tokenizers
from bpe_kinds import BYTE_LEVEL
from bpe_texts import FRENCH, tokenizer_json

from jarvis_nano.errors import UserError
from jarvis_nano.kernels import BpeEncoder, BpeTrainer
from jarvis_nano.kernels.bpe.op import extension
from jarvis_nano.kernels.bpe.patterns import byte_alphabet

module, not_built = extension()
pytestmark = pytest.mark.skipif(module is None, reason=not_built)


def byte_tokenizer(**parts) -> bytes:
    vocab = {character: byte for byte, character in enumerate(byte_alphabet())}
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    return json.dumps({"added_tokens": [], "pre_tokenizer": BYTE_LEVEL, "model": model, **parts}).encode()


@pytest.mark.parametrize("size", [10, 1000, 100_000, 3_000_000])
def test_text_prepended_to_every_stretch_has_room(size):
    newline = {"id": 256, "content": "\n", "special": False, "normalized": False}
    newline |= {"single_word": False, "lstrip": False, "rstrip": False}
    prepend = {"type": "Prepend", "prepend": "____"}
    encoder = BpeEncoder(byte_tokenizer(added_tokens=[newline], normalizer=prepend))
    assert encoder.native
    ids = encoder.encode("\na" * size)
    assert len(ids) == 6 * size  # the line, four marks and the letter
    assert ids[:6].tolist() == ids[-6:].tolist()


def test_the_highest_id_of_65536_merges_with_itself():
    alphabet = byte_alphabet()
    names = ["zz", *(f"{left}{right}" for left in alphabet[33:127] for right in alphabet[33:127])]
    fill = [f"<{index}>" for index in range(65_536 - 256 - len(set(names)))]
    tokens = [*dict.fromkeys(names), *fill, *(c for c in alphabet if c != "z"), "z"]
    vocab = {token: index for index, token in enumerate(tokens)}
    assert len(vocab) == 65_536
    assert vocab["z"] == 65_535
    merges = [["z", "z"], *([name[0], name[1]] for name in tokens[1 : len(set(names))])]
    raw = byte_tokenizer(model={"type": "BPE", "vocab": vocab, "merges": merges})
    encoder, library = BpeEncoder(raw), tokenizers.Tokenizer.from_buffer(raw)
    assert encoder.native
    for text in ("zz", "zzz", "azzb", "z" * 100, FRENCH[:2000]):
        assert encoder.encode(text).tolist() == library.encode(text).ids


def test_a_batch_that_is_emptied_while_it_is_encoded_gives_its_ids():
    encoder = BpeEncoder(tokenizer_json("french"), n_threads=2)
    for _ in range(5):
        texts: list = [FRENCH * 2000] * 3 + [b"x\xff"] * 50
        want = len(texts)
        timer = threading.Timer(0.005, texts.clear)
        timer.start()
        _, offsets = encoder.encode_batch(texts, errors="replace")
        timer.join()
        assert len(offsets) in (want + 1, 1)


def few_threads() -> None:
    # A stack of 4 GiB a thread in an address space of 7: the second thread cannot be had.
    resource.setrlimit(resource.RLIMIT_STACK, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (7 << 30, 7 << 30))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
def test_threads_that_cannot_be_had_are_done_without():
    program = f"""
import numpy, threading
from jarvis_nano.kernels import BpeEncoder, BpeTrainer
encoder = BpeEncoder({tokenizer_json("french")!r}, n_threads=8)
text = {FRENCH!r} * {4_000_000 // len(FRENCH)}
assert numpy.array_equal(encoder.encode(text), BpeEncoder(encoder.raw, n_threads=1).encode(text))
trainer = BpeTrainer(vocab_size=300, n_threads=8)
trainer.feed([text] * 4)
trainer.train()
threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(3)]
try:
    [thread.start() for thread in threads]
except RuntimeError as error:
    print(error)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, preexec_fn=few_threads, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "can't start new thread" in done.stdout


def test_a_trainer_may_be_watched_from_another_thread():
    trainer = BpeTrainer(vocab_size=400)
    texts = [FRENCH * 300 + str(index) for index in range(40)]
    feeding = threading.Thread(target=trainer.feed, args=(texts,))
    feeding.start()
    while feeding.is_alive():
        assert trainer.n_words >= 0
    feeding.join()
    assert trainer.n_words > 50


def test_ids_that_change_while_they_are_decoded_are_an_error_at_worst():
    encoder = BpeEncoder(tokenizer_json("french"))
    ids = np.zeros(2_000_000, dtype=np.uint32) + 300
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            ids[-1000:] = 4_000_000_000
            ids[-1000:] = 300

    changing = threading.Thread(target=change)
    changing.start()
    for _ in range(30):
        with contextlib.suppress(ValueError, RuntimeError):
            encoder._core.decode_bytes(ids)
    stop.set()
    changing.join()


def test_what_is_no_text_is_refused():
    encoder = BpeEncoder(tokenizer_json("french"))
    for wrong in (np.array([104, 105]), np.float64(1.0), 3, None, ["a"]):
        with pytest.raises(TypeError, match="a text is a str"):
            encoder.encode(wrong)
    with pytest.raises(TypeError, match="a sequence of texts"):
        encoder.encode_batch(np.frombuffer(b"hello", np.uint8))
    with pytest.raises(TypeError, match="twice"):
        encoder.encode("a", text="b")
    with pytest.raises(TypeError, match="cannot be deleted"):
        del encoder._core.template
    assert encoder.encode(bytearray(b"abc")).tolist() == encoder.encode("abc").tolist()


def test_the_number_of_threads_may_change():
    encoder = BpeEncoder(tokenizer_json("french"))
    encoder.n_threads = 3
    assert encoder._core.threads == 3
    with pytest.raises(ValueError, match="n_threads is 0"):
        encoder.n_threads = 0


def test_a_folder_is_no_file_to_encode(tmp_path):
    encoder = BpeEncoder(tokenizer_json("french"))
    with pytest.raises(UserError, match="is a folder"):
        encoder.encode_files([tmp_path], tmp_path / "out")
