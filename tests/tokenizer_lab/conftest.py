"""Small tokenizers of every pattern, trained on built-in stories; text that none of them has seen."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from jarvis_nano.corpus import stories
from jarvis_nano.kernels.bpe.kinds import kinds
from jarvis_nano.kernels.bpe.patterns import TRAINABLE
from jarvis_nano.tokenizer_lab.texts import Texts
from jarvis_nano.tokenizer_training import train_tokenizer


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder by the name of the pattern, 2,000 tokens each."""
    home = tmp_path_factory.mktemp("trained")
    texts = [*islice(stories.generate(600, 1), 600), "Les Romains ont 1789 et 3,14 œufs « ici »…\n" * 80]
    for pattern in TRAINABLE:
        train_tokenizer(texts, home / pattern, vocab_size=2000, pattern=pattern)
    return {pattern: home / pattern for pattern in TRAINABLE}


@pytest.fixture(scope="session")
def unseen() -> Texts:
    """Stories of another seed."""
    return Texts(list(islice(stories.generate(80, 99), 80)), [], "stories")


@pytest.fixture(scope="session")
def kind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder by the name of each published kind of tokenizer.json, with a handful of merges."""
    home = tmp_path_factory.mktemp("kinds")
    found = {}
    for number, (name, raw) in enumerate(kinds().items()):
        folder = home / str(number)
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes(raw)
        found[name] = folder
    return found
