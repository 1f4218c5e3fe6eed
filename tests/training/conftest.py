"""A small corpus in a folder of its own, and settings that train on it in a second."""

import dataclasses
import random

import pytest

from jarvis_nano.config import ModelConfig, TrainConfig
from jarvis_nano.training.pretrain import Pretrain

TEXT = "le la un une chat chien maison arbre mange voit aime grand petit rouge vert dans sur avec et puis où été"
WORDS = TEXT.split()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    rng = random.Random(5)
    texts = [" ".join(rng.choices(WORDS, k=60)) + "." for _ in range(200)]
    path = tmp_path_factory.mktemp("corpus") / "mots.txt"
    path.write_text("\n\n\n".join(texts), encoding="utf-8")
    return path


@pytest.fixture
def settings(corpus, tmp_path, monkeypatch):
    """Settings of a 12-step run; the working directory is a fresh one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JARVIS_NANO_RUNS", raising=False)
    model = ModelConfig(vocab_size=340, context=32, n_layers=2, n_heads=2, d_model=32, dropout=0.1)
    train = TrainConfig(
        steps=12,
        batch_size=4,
        learning_rate=1e-2,
        log_every=1,
        eval_every=5,
        eval_batches=2,
        save_every=5,
        sample_every=6,
    )
    data = (str(corpus),)
    return Pretrain(data=data, run="a", model=model, train=train, tensorboard=False, device="cpu", threads=1)


@pytest.fixture
def change():
    """change(settings, run="b", steps=6): fields of the settings, or of their model or training."""

    def changed(settings, **fields):
        for name, value in fields.items():
            if hasattr(settings.train, name):
                settings = dataclasses.replace(settings, train=dataclasses.replace(settings.train, **{name: value}))
            elif hasattr(settings.model, name):
                settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, **{name: value}))
            else:
                settings = dataclasses.replace(settings, **{name: value})
        return settings

    return changed
