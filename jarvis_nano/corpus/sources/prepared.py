"""A corpus folder as documents.write_corpus leaves it: manifest.json, which lists files that jsonl.py reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jarvis_nano.corpus.documents import FORMAT, MANIFEST, VERSION
from jarvis_nano.errors import UserError


def is_prepared(folder: Path) -> bool:
    """Whether the folder says that it is a corpus of ours."""
    path = folder / MANIFEST
    if not path.is_file():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return any(folder.glob("documents-*.jsonl.zst"))  # then read_manifest says what is wrong with it
    return isinstance(found, dict) and found.get("format") == FORMAT


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest; UserError where it is damaged, of another version, or names files that are not there."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{folder} is no prepared corpus: it has no {MANIFEST}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); prepare the corpus again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path} is not the manifest of a corpus; expected the format {FORMAT}")
    if manifest.get("version") != VERSION:
        raise UserError(
            f"{path} has version {manifest.get('version')}, this program reads {VERSION}; prepare the corpus again"
        )
    missing = [entry["name"] for entry in manifest["files"] if not (folder / entry["name"]).is_file()]
    if missing:
        raise UserError(f"{folder} lacks {', '.join(missing[:3])}, listed in {MANIFEST}; prepare the corpus again")
    return manifest
