"""The flags of scripts/train_tokenizer.py, and which of them go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer_lab.sampling import DEFAULT_BYTES

_Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
_Files = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")]


@dataclass(frozen=True)
class Options:
    """Train a tokenizer, compare several, or see what one loses:

    python scripts/train_tokenizer.py novels/ --out data/tokenizer --vocab-size 16384

    python scripts/train_tokenizer.py --compare data/tokenizer other/tokenizer.json --data unseen.txt

    python scripts/train_tokenizer.py --doctor data/tokenizer
    """

    corpus: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CORPUS...")] = ()
    """To train on: files or folders, plain or packed; "-" is the standard input."""
    out: _Folder = None
    """The folder to write tokenizer.json and its companions into."""
    vocab_size: int = 16384
    """How many tokens, the 256 bytes and 8 special tokens among them."""
    pattern: Literal["french", "gpt2", "llama3", "bloom"] = "french"
    """How text is cut into words: french keeps an elision with its apostrophe (l' · eau) and parts digits."""
    sample_bytes: int = DEFAULT_BYTES
    """Train on at most so many bytes, chosen by hash from the whole corpus; 0: on everything."""
    hold_out: bool = False
    """Leave out the text that pretraining holds out for validation."""
    compare: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR...")] = ()
    """Tokenizers, folders or tokenizer.json, to measure on the same text."""
    doctor: _Folder = None
    """A tokenizer to examine. Exit code 0: it loses nothing; 1: it loses text; 2: it cannot be loaded."""
    data: _Files = ()
    """French text to measure on, that no tokenizer was trained on; without it, built-in stories."""
    learn_from: _Files = ()
    """What the n-gram model of --compare learns from; without it, four fifths of --data."""
    json: bool = False
    """Print one JSON object (--compare, --doctor)."""

    def check(self) -> None:
        """UserError unless exactly one of the three uses is asked for, with what it needs."""
        uses = {"a CORPUS to train on": self.corpus, "--compare": self.compare, "--doctor": self.doctor}
        asked = [name for name, given in uses.items() if given]
        if not asked:
            raise UserError(
                "nothing to do: name a CORPUS to train on, or give --compare DIR DIR or --doctor DIR; see --help"
            )
        if len(asked) > 1:
            raise UserError(f"{' and '.join(asked)} are different uses; give one of them")
        if self.corpus and self.out is None:
            raise UserError("no place for the tokenizer: pass --out DIR")
        if self.corpus and (self.data or self.learn_from):
            raise UserError("--data and --learn-from are for --compare and --doctor; to train, name files as CORPUS")
        if self.corpus and self.json:
            raise UserError("--json is for --compare and --doctor; training writes training.json beside the tokenizer")
        if not self.corpus and self.out is not None:
            raise UserError(f"--out is for training; {asked[0]} prints, and writes nothing")
        if self.doctor and self.learn_from:
            raise UserError("--learn-from is for --compare; the doctor takes --data")
