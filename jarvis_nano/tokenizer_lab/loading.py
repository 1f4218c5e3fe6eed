"""Tokenizers loaded to be measured: on one thread, without chance, checked to decode. Using them is tokenizer.py."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import FILES, Tokenizer
from jarvis_nano.tokenizer_lab.settings import FileSettings


@dataclass(frozen=True)
class Loaded:
    """A tokenizer, and its file's settings as they stand there (`tokenizer` never leaves merges out by chance)."""

    tokenizer: Tokenizer
    settings: FileSettings


def load(path: Path) -> Loaded:
    """The tokenizer of a folder or file. UserError where it is missing, damaged, not byte-pair, or cannot decode."""
    tokenizer = Tokenizer.load(path, n_threads=1)
    settings = FileSettings(tokenizer.encoder.raw)
    if not tokenizer.encoder.native and settings.unknown not in (None, *settings.model["vocab"]):
        raise UserError(
            f"{path}: model.unk_token is {settings.unknown!r}, which is not in the vocabulary, so that any unknown "
            "character stops everything; name a token that is there, or set it null"
        )
    if settings.model.get("dropout"):
        sure = FileSettings(tokenizer.encoder.raw)
        sure.model["dropout"] = None
        digest = tokenizer.hash
        tokenizer = Tokenizer({FILES[0]: json.dumps(sure.data).encode()}, n_threads=1)
        tokenizer.hash = digest  # it is still that file
    try:
        tokenizer.decode(tokenizer.encode("a"))
    except ValueError as error:
        raise UserError(f"{path} holds a tokenizer that cannot decode: {error}; copy the file again") from error
    return Loaded(tokenizer, settings)
