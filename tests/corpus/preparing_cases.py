"""What the tests of preparing share: a short way to call it, and to read what it wrote."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import zstandard

from jarvis_nano.corpus.preparing.pipeline import prepare_corpus
from jarvis_nano.corpus.preparing.settings import Settings
from jarvis_nano.corpus.sources import read_documents

ANY = Settings(languages=(), quality=False)
FRENCH = (
    "Le soir tombait sur la ville quand elle ouvrit la fenêtre. Dans la rue, des enfants jouaient encore, et l'on "
    "entendait au loin la cloche de l'église. « Il faut rentrer », dit une voix. Personne ne répondit, mais peu à peu "
    "les rires s'éloignèrent ; bientôt il n'y eut plus que le vent dans les arbres, et la lumière d'une lampe."
)


def prepare(path: Path | list[Path], out: Path, settings: Settings = ANY, processes: int = 1) -> dict:
    paths = path if isinstance(path, list) else [path]
    return prepare_corpus(paths, out, settings, processes=processes, show_progress=False)


def texts(out: Path) -> list[str]:
    return [document.text for document in read_documents(out)]


def dropped(out: Path) -> list[dict]:
    with (out / "report/dropped.jsonl.zst").open("rb") as file:
        data = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    return [json.loads(line) for line in data.splitlines()]


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def write_jsonl(path: Path, texts: list[str]) -> Path:
    lines = [json.dumps({"id": f"n{i}", "text": text}, ensure_ascii=False) for i, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sentences(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    words = FRENCH.replace(".", "").split()
    return [" ".join(rng.choices(words, k=60)) + f" {i}." for i in range(n)]
