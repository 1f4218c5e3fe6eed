"""Shows byte-pair encoding at work: python -m jarvis_nano.kernels.bpe "l'été" [--tokenizer DIR]."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from .op import BpeEncoder
from .reference import Reference, cut, learn, merge_steps
from .tokenizer_file import BpeFileError, parse

# Without a tokenizer the merges are learnt on the spot, from this.
SAMPLE = """\
L'été, les enfants de l'école jouent dans le jardin. Il fait si beau qu'ils ont oublié l'heure. Devant eux,
l'eau de la fontaine est fraîche,
l'air est doux,
l'étang est calme. « Où étais-tu cet été ? » demande la maîtresse. « L'été, j'étais à la mer, dit-il, avec mon père
et ma mère. » Les étoiles étaient belles, et la petite était contente d'être là.
"""
N_MERGES = 150

EXAMPLE = """\
example:
  python -m jarvis_nano.kernels.bpe "l'été"                              merges learnt from a few French sentences
  python -m jarvis_nano.kernels.bpe "l'été" --tokenizer runs/demo/tokenizer
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jarvis_nano.kernels.bpe",
        description="Show how a text becomes ids: cut into words, then merged pair by pair.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR", help="a tokenizer folder or tokenizer.json")
    options = parser.parse_args(arguments)
    try:
        options.text.encode()
        show_file(options.text, options.tokenizer) if options.tokenizer else show_learnt(options.text)
    except (OSError, BpeFileError, UnicodeEncodeError) as error:
        print(f"error: {options.tokenizer or 'text'}: {error}", file=sys.stderr)
        return 2
    return 0


def show_learnt(text: str) -> None:
    """Each merge of a text, by merges learnt from SAMPLE."""
    learnt = learn(cut(SAMPLE, "french"), N_MERGES)
    names = [bytes([byte]) for byte in range(256)]
    merges = {}
    for rank, (left, right) in enumerate(learnt):
        merges[names.index(left), names.index(right)] = rank, len(names)
        names.append(left + right)
    print(f"{len(learnt)} merges learnt from {len(SAMPLE.split())} words (--tokenizer DIR shows a trained tokenizer)\n")
    for word in cut(text, "french"):
        start = list(word.encode())
        show_word(word, [start, *merge_steps(start, merges)], names, lambda ids: merges[ids][0])


def show_file(text: str, path: Path) -> None:
    """Each merge of a text, by a tokenizer.json; its ids at the end, from the encoder that training uses."""
    path = path / "tokenizer.json" if path.is_dir() else path
    file = parse(path.read_bytes())
    encoder = BpeEncoder(path)
    if file.why_not:
        print(f"{path}: its merges cannot be shown: {file.why_not}\n")
    else:
        reference, names = Reference(file), file.token_bytes()
        print(f"{len(file.merges)} merges of {path}, pattern {file.scanner}\n")
        for word in reference.words(text):
            states = [reference.start(word), *reference.steps(word)]
            show_word(word, states, names, lambda ids: reference.merges[ids][0])
    ids = encoder.encode(text).tolist()
    print(" ".join(f"{encoder.piece(index)!r}:{index}" for index in ids))
    print(f"{len(text.encode())} bytes, {len(ids)} ids, by the {encoder.backend} backend")


def show_word(
    word: str, states: list[list[int]], names: list[bytes], rank_of: Callable[[tuple[int, int]], int]
) -> None:
    """One line for the bytes of a word and one for each merge, with the rank that chose it."""
    print(f"{word!r}")
    print(f"{'bytes':>14}  {_spelt(states[0], names)}")
    for before, after in pairwise(states):
        place = next(i for i in range(len(after)) if before[i] != after[i])
        print(f"{'merge ' + str(rank_of((before[place], before[place + 1]))):>14}  {_spelt(after, names)}")
    print()


def _spelt(ids: Iterable[int], names: list[bytes]) -> str:
    parts = (names[index].decode("utf-8", "backslashreplace").replace(" ", "␣") for index in ids)
    return " · ".join(part if part.isprintable() else repr(part)[1:-1] for part in parts)


if __name__ == "__main__":
    sys.exit(main())
