"""How the rows of a file are laid out, told from its beginning. Reading them: rows.py."""

from __future__ import annotations

import json
import re

from jarvis_nano.errors import UserError

KEYS = "instruction|input|output|response|messages|conversations|prompt|completion|text|id|system|tools|history"
_KNOWN_ROW = re.compile(rf'\{{\s{{0,24}}"(?:{KEYS})"\s{{0,8}}:')


def is_lines(head: bytes) -> bool:
    """Whether rows stand on lines of their own: one of the first does, or the file is no JSON at all."""
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    if not text.startswith(("{", "[")):
        return True
    if "\n" not in text.strip():
        return False
    if text.startswith("["):  # an array over many lines, or lines of which the first is a list, and no row
        return _is_json(text[: text.index("\n")])
    for line in text.split("\n"):
        if _KNOWN_ROW.match(line) and _is_json(line):
            return True
    # Faulty rows only: lines that begin and end as an object does, though none can be read.
    lines = [line for line in text.split("\n")[:-1] if line.strip()]
    return bool(lines) and all(line.startswith("{") and line.rstrip().endswith("}") for line in lines)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_FOREIGN = {
    b"PAR1": ("Parquet", "write it as JSON lines first, for instance: df.to_json(path, orient='records', lines=True)"),
    b"PK\x03\x04": ("a zip file", "unpack it first"),
    b"\xff\xfe": ("UTF-16", "convert it: iconv -f utf-16 -t utf8"),
    b"\xfe\xff": ("UTF-16", "convert it: iconv -f utf-16 -t utf8"),
    b"{\0": ("UTF-16", "convert it: iconv -f utf-16le -t utf8"),
    b"[\0": ("UTF-16", "convert it: iconv -f utf-16le -t utf8"),
    b"\0{": ("UTF-16", "convert it: iconv -f utf-16be -t utf8"),
    b"\0[": ("UTF-16", "convert it: iconv -f utf-16be -t utf8"),
}


def refuse_foreign(head: bytes, place: str) -> None:
    """UserError where a file begins as one of another format does; `place`: its name."""
    for magic, (name, advice) in _FOREIGN.items():
        if head.startswith(magic):
            raise UserError(f"{place} is {name}; expected JSON lines or a JSON array in UTF-8: {advice}")
