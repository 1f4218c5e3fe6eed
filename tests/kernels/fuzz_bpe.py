"""Looks for a text on which BpeEncoder differs from the tokenizers library, from Python's UTF-8, or from itself.

python tests/kernels/fuzz_bpe.py --minutes 10 --seed 1     exit code 1 and a short reproducer on a difference or crash
python tests/kernels/fuzz_bpe.py --seed 1 --first 4711 --cases 1     one case again

A case is a function of (seed, number): a text, and one of the tokenizers of bpe_tokenizers.py. The work is done by a
child process, so that a crash in it is a finding too.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import multiprocessing
import random
import re
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from bpe_random_texts import SPACES, random_bytes, random_text
from bpe_texts import Library
from bpe_tokenizers import BUILDERS, tokenizer_of

from jarvis_nano.kernels import BpeEncoder
from jarvis_nano.kernels.bpe.tokenizer_file import parse

LONG_BYTES = 400_000  # of a text that is worth more than one thread
REFERENCE_BYTES = 120  # the readable twin is quadratic in a word


class Difference(AssertionError):
    """What was found is not what was expected."""


class Pair:
    """One tokenizer: ours, the library's, and the readable twin where it covers the kind."""

    def __init__(self, kind: str, *, oracle: bool = True) -> None:
        raw = tokenizer_of(kind)
        self.kind, self.ours = kind, BpeEncoder(raw, n_threads=1)
        self.threaded = [BpeEncoder(raw, n_threads=n) for n in (2, 3)]
        self.library = Library(raw) if oracle else None
        # The library decodes the letters of an added token as if they stood for bytes: é becomes U+FFFD. Ours does not.
        self.misread = {i for text, i in self.ours.added_tokens.items() if not text.isascii()}
        self.twin = None if parse(raw).why_not or not oracle else BpeEncoder(raw, backend="reference")


@functools.cache
def pair_of(kind: str) -> Pair:
    return Pair(kind)


def expect(what: str, got: object, want: object) -> None:
    if got != want:
        raise Difference(f"{what}: got {_short(got)}, expected {_short(want)}{_first_place(got, want)}")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) < 400 else shown[:200] + " … " + shown[-100:]


def _first_place(got: object, want: object) -> str:
    if not (isinstance(got, (list, str, bytes)) and isinstance(want, (list, str, bytes))):
        return ""
    at = next((i for i, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), min(len(got), len(want)))
    return f"\nlengths {len(got)} and {len(want)}; at {at}: {got[at : at + 8]!r} and {want[at : at + 8]!r}"


def check_text(pair: Pair, text: str, special: bool) -> None:
    """Every way to encode one text gives the library's ids; decoding gives what the library gives."""
    ours, data = pair.ours, text.encode()
    ids = ours.encode(text, special=special)
    got = ids.tolist()
    if pair.library is not None:
        expect("encode(str)", got, pair.library.encode(text, special=special))
    expect("encode(bytes)", ours.encode(data, special=special).tolist(), got)
    for name, buffer in (("memoryview", memoryview(data)), ("bytearray", bytearray(data))):
        expect(f"encode({name})", ours.encode(buffer, special=special).tolist(), got)
    expect("encode(uint8 array)", ours.encode(np.frombuffer(data, np.uint8), special=special).tolist(), got)
    expect("encode_list", ours.encode_list(text, special=special), got)
    expect("count", ours.count(text, special=special), len(got))
    expect("encode(str), again", ours.encode(text, special=special).tolist(), got)
    if pair.twin is not None and len(data) <= REFERENCE_BYTES:
        expect("the readable twin", pair.twin.encode(text, special=special).tolist(), got)
    check_decoding(pair, text, ids)


def check_decoding(pair: Pair, text: str, ids: np.ndarray) -> None:
    back = pair.ours.decode(ids)
    if pair.library is not None and pair.misread.isdisjoint(ids.tolist()):
        expect("decode", back, pair.library.special.decode(ids.tolist(), skip_special_tokens=False))
        plain = pair.library.special.decode(ids.tolist(), skip_special_tokens=True)
        expect("decode without special tokens", pair.ours.decode(ids, special=False), plain)
    if pair.kind in ROUND_TRIP:
        expect("round trip", back, text)


# Without a normalizer, on bytes, and without an added token that takes neighbours along.
ROUND_TRIP = {
    *("gpt2", "llama3", "llama3, whole words first", "bloom", "o200k", "ids past 65,535", "few merges"),
    *("many merges", "starcoder", "falcon", "deepseek"),
}


def check_batch(pair: Pair, text: str, special: bool, rng: random.Random) -> None:
    """A batch is its texts one by one, as lists too; threads change nothing."""
    ours = pair.ours
    cuts = sorted(rng.choices(range(len(text) + 1), k=rng.choice([0, 1, 3, 10])))
    texts: list[str | bytes] = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    texts = [part.encode() if rng.random() < 0.3 else part for part in texts]
    want = [ours.encode(part, special=special).tolist() for part in texts]
    ids, offsets = ours.encode_batch(texts, special=special)
    expect("encode_batch", [ids[a:b].tolist() for a, b in pairwise(offsets.tolist())], want)
    expect("encode_batch as lists", ours.encode_batch(texts, special=special, as_lists=True), want)
    for threaded in pair.threaded:
        many, places = threaded.encode_batch(texts, special=special)
        name = f"encode_batch, {threaded.n_threads} threads"
        expect(name, (many.tolist(), places.tolist()), (ids.tolist(), offsets.tolist()))
        expect(f"{name}, as lists", threaded.encode_batch(texts, special=special, as_lists=True), want)


def check_threads(pair: Pair, text: str, special: bool, oracle: bool = False) -> None:
    """One long text over several threads: wherever it is cut, the ids are those of one thread."""
    data = text.encode()
    want = pair.ours.encode(data, special=special)
    if oracle and pair.library is not None:  # a long text is cut in parts on one thread too
        expect("a long text", want.tolist(), pair.library.encode(text, special=special))
    for threaded in pair.threaded:
        for form in (text, data):
            got = threaded.encode(form, special=special)
            if not np.array_equal(got, want):
                expect(f"{threaded.n_threads} threads, {type(form).__name__}", got.tolist(), want.tolist())


def check_long_bytes(pair: Pair, data: bytes, rng: random.Random) -> None:
    """Over several threads it is still the first bad byte that is named, and all are replaced."""
    long = bytearray(data * (LONG_BYTES // (len(data) + 1) + 1))
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(long))
        long[at:at] = rng.choice([b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80"])
    for threaded in pair.threaded:
        check_bytes(Judged(threaded), bytes(long))


class Judged(NamedTuple):
    """What check_bytes needs of a Pair."""

    ours: BpeEncoder


def check_bytes(pair: Pair | Judged, data: bytes) -> None:
    """Bytes that are not UTF-8 are refused where Python refuses them, or replaced as Python replaces them."""
    ours = pair.ours
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        try:
            ours.encode(data)
        except ValueError as refused:
            place = re.search(r"byte 0x([0-9a-f]{2}) at offset (\d+)", str(refused))
            found = (int(place[1], 16), int(place[2])) if place else str(refused)
            expect("place of the error", found, (data[error.start], error.start))
        else:
            raise Difference(f"not UTF-8 at offset {error.start}, and yet encoded") from None
    else:
        expect("valid bytes", ours.encode(data).tolist(), ours.encode(text).tolist())
    replaced = ours.encode(data.decode("utf-8", "replace")).tolist()
    expect('errors="replace", bytes', ours.encode(data, errors="replace").tolist(), replaced)


def check_surrogates(pair: Pair, text: str, rng: random.Random) -> None:
    """A lone surrogate is refused with its place, or becomes ? as in Python."""
    at = rng.randint(0, len(text))
    torn = text[:at] + chr(rng.randint(0xD800, 0xDFFF)) + text[at:]
    try:
        pair.ours.encode(torn)
    except ValueError as refused:
        place = re.search(r"at character (\d+)", str(refused))
        expect("place of the surrogate", place and int(place[1]), at)
    else:
        raise Difference(f"a lone surrogate at character {at}, and yet encoded")
    replaced = pair.ours.encode(torn.encode("utf-8", "replace").decode()).tolist()
    expect('errors="replace", str', pair.ours.encode(torn, errors="replace").tolist(), replaced)


def run_case(seed: int, number: int, pair: Callable[[str], Pair] = pair_of, kinds: tuple[str, ...] = ()) -> None:
    """One case; Difference with a short reproducer."""
    rng = random.Random(f"{seed}:{number}")
    kind = rng.choice(kinds or tuple(BUILDERS))
    special = rng.random() < 0.5
    draw = rng.random()
    if draw < 0.15:
        shrink(random_bytes(rng), lambda data: check_bytes(pair(kind), data), f"{kind}, bytes")
        if draw < 0.01 and pair(kind).ours.native:
            text, after = random_text(rng, 3000).encode(), rng.randrange(1 << 30)
            check = lambda data: check_long_bytes(pair(kind), data, random.Random(after))  # noqa: E731
            shrink(text, check, f"{kind}, long bytes")
        return
    text = random_text(rng)
    after = rng.randrange(1 << 30)
    shrink(text, lambda text: check_text(pair(kind), text, special), f"{kind}, special={special}")
    if draw < 0.4:
        check = lambda text: check_batch(pair(kind), text, special, random.Random(after))  # noqa: E731
        shrink(text, check, f"{kind}, special={special}, batch")
    if draw < 0.17 and pair(kind).ours.native:
        long = (text + rng.choice(SPACES)) * (LONG_BYTES // (len(text.encode()) + 1) + 1)
        oracle = rng.random() < 0.3
        check = lambda text: check_threads(pair(kind), text, special, oracle)  # noqa: E731
        shrink(long, check, f"{kind}, special={special}, long")
    if draw < 0.2:
        shrink(text[:500], lambda text: check_surrogates(pair(kind), text, random.Random(after)), f"{kind}, surrogate")


def shrink(text: str | bytes, check: Callable, what: str, seconds: float = 20) -> None:
    """check(text); on a difference the shortest text found that still shows one, in a new Difference."""
    found = _difference(check, text)
    if found is None:
        return
    end = time.monotonic() + seconds
    size = len(text)
    while size >= 1 and time.monotonic() < end:
        at, smaller = 0, False
        while at < len(text) and time.monotonic() < end:
            shorter = text[:at] + text[at + size :]
            why = _difference(check, shorter)
            if why is None:
                at += size
            else:
                text, found, smaller = shorter, why, True
        size = min(size, len(text)) if smaller and size == 1 else size // 2
    raise Difference(f"{what}\ntext = {text!r}\n{found}") from None


def _difference(check: Callable, text: str | bytes) -> str | None:
    try:
        check(text)
    except Difference as difference:
        return str(difference)
    except (ValueError, TypeError, AttributeError, IndexError, MemoryError, RuntimeError, UnicodeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def work(seed: int, first: int, cases: int, seconds: float, kinds: tuple[str, ...], at, keep_going: bool) -> None:
    """Cases one after the other in a child process; `at` tells the parent which one it is in."""
    faulthandler.enable()
    end = time.monotonic() + seconds
    failed = 0
    for number in range(first, first + cases):
        at.value = number
        if time.monotonic() > end:
            break
        try:
            run_case(seed, number, kinds=kinds)
        except Difference as difference:
            failed += 1
            print(f"\ncase {number} of seed {seed}: {difference}", flush=True)
            if not keep_going:
                break
    sys.exit(1 if failed else 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the number of the first case")
    parser.add_argument("--cases", type=int, default=1 << 60, help="how many at most")
    parser.add_argument("--kinds", nargs="+", choices=BUILDERS, default=[], metavar="KIND", help=", ".join(BUILDERS))
    parser.add_argument("--keep-going", action="store_true", help="report every difference, not only the first")
    options = parser.parse_args()
    for kind in options.kinds or BUILDERS:
        encoder = BpeEncoder(tokenizer_of(kind))
        print(f"{kind}: {encoder.backend}" + (f" ({encoder.why_not[:80]})" if encoder.why_not else ""), file=sys.stderr)
    context = multiprocessing.get_context("spawn")
    at = context.Value("q", -1, lock=False)
    seconds = 60 * options.minutes
    arguments = (options.seed, options.first, options.cases, seconds, tuple(options.kinds), at, options.keep_going)
    child = context.Process(target=work, args=arguments)
    child.start()
    child.join(seconds + 300)
    again = f"python tests/kernels/fuzz_bpe.py --seed {options.seed} --first {at.value} --cases 1"
    if options.kinds:
        again += " --kinds " + " ".join(repr(kind) for kind in options.kinds)
    if child.exitcode is None:
        child.kill()
        print(f"\ncase {at.value} does not end; again: {again}")
        return 1
    if child.exitcode:
        how = f"killed by signal {-child.exitcode}" if child.exitcode < 0 else "a difference"
        print(f"\n{how}; again: {again}")
        return 1
    print(f"{at.value - options.first} cases of seed {options.seed} without a difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
