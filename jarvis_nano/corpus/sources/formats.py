"""Which reader a file needs, told by its first 64 KiB rather than by its name; a name decides where content cannot."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

from jarvis_nano.corpus.sources.docx import read_docx
from jarvis_nano.corpus.sources.html import read_html
from jarvis_nano.corpus.sources.jsonl import read_jsonl
from jarvis_nano.corpus.sources.mediawiki.dump import read_dump
from jarvis_nano.corpus.sources.opening import COMPRESSED_SUFFIXES
from jarvis_nano.corpus.sources.source import Options, Reader
from jarvis_nano.corpus.sources.tabular import is_table, read_csv, read_parquet
from jarvis_nano.corpus.sources.text import read_text
from jarvis_nano.corpus.sources.transcriber import is_tagged, read_tagged, read_transcript
from jarvis_nano.errors import UserError

# The files of a folder that are taken, packed or not; what is in them is told by their content all the same.
SUFFIXES = (".txt", ".jsonl", ".ndjson", ".xml", ".trs", ".docx", ".html", ".htm", ".xhtml", ".parquet", ".csv", ".tsv")
KINDS = "plain text, JSON lines, CSV, Parquet, HTML, a MediaWiki dump, Transcriber XML, Word (.docx)"
_FOREIGN = {  # first bytes of what would pass for text, or ends as noise in a vocabulary; and the way out
    b"%PDF": ("a PDF", "pdftotext -layout '{place}' book.txt"),
    b"{\\rtf": ("RTF", "libreoffice --headless --convert-to docx '{place}'"),
    b"\xd0\xcf\x11\xe0": ("an old Word or Office file (.doc)", "libreoffice --headless --convert-to docx '{place}'"),
    b"7z\xbc\xaf": ("a 7z archive", "7z x '{place}'"),
    b"SQLite format 3": ("an SQLite database", "sqlite3 -csv -header '{place}' 'select text from …' > texts.csv"),
    b"\x89PNG": ("a picture", "tesseract -l fra '{place}' text"),
    b"\xff\xd8\xff": ("a picture", "tesseract -l fra '{place}' text"),
}
_ELEMENT = re.compile(r"<([A-Za-z_][\w:.-]{0,63})")
_INDEX_LINE = re.compile(r"\d{1,15}:\d{1,12}:\S")
_OBJECT_BEGINS = re.compile(r'\{\s{0,100}"[^"\\\n]{1,200}"\s{0,100}:')
_HTML_ELEMENTS = frozenset(("html", "head", "body", "title", "div", "p", "h1", "h2", "h3", "table", "article", "main",
                            "section", "span", "br", "ul", "ol", "a", "meta", "link", "script", "header"))  # fmt: skip
_HTML_END = re.compile(r"</(?:html|head|body|title|div|p|h[1-6]|a|ul|ol|li|span|table|script|section)\s{0,9}>", re.I)


FORMATS: dict[str, Reader] = {
    "text": read_text,
    "jsonl": read_jsonl,
    "mediawiki": read_dump,
    "docx": read_docx,
    "html": read_html,
    "transcriber": read_transcript,
    "tagged transcript": read_tagged,
    "csv": read_csv,
    "parquet": read_parquet,
}


def choose_format(head: bytes, path: Path, place: str, options: Options) -> str:
    """The key of FORMATS for a file that begins with `head`; UserError, with the way to convert it, for others."""
    for magic, (what, command) in _FOREIGN.items():
        if head.startswith(magic):
            raise UserError(f"{place} is {what}; convert it, for instance: {command.format(place=place)}")
    if head.startswith(b"PK\x03\x04"):
        return "docx"
    if head.startswith(b"PAR1"):
        return "parquet"
    text = _decoded(head).lstrip("\ufeff \t\r\n")
    suffix = bare_suffix(path)
    return _by_markup(text, suffix, place) or _by_text(text, suffix, place, options) or _by_name(suffix)


def bare_suffix(path: Path) -> str:
    """The suffix without that of the packing: "a.txt.gz" -> ".txt"; ".xml-p1p306134" of a dump's part is ".xml"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    return ".xml" if last.startswith(".xml-p") else last


def is_taken(path: Path) -> bool:
    """Whether a file of a folder is read: its name ends in one of SUFFIXES, and it is no index of a dump."""
    return bare_suffix(path) in SUFFIXES and "-multistream-index" not in path.name


def _by_markup(text: str, suffix: str, place: str) -> str | None:
    """A text that merely begins with "<", a poem, is none of these."""
    if not text.startswith("<"):
        return None
    is_declared = text.startswith(("<?xml", "<!DOCTYPE", "<!doctype", "<!Doctype"))
    element = _first_element(text)
    if element == "mediawiki":
        return "mediawiki"
    if element == "Trans":
        return "transcriber"
    is_html = element.lower() in _HTML_ELEMENTS
    if element.lower() == "html" or (is_html and (is_declared or suffix in (".html", ".htm", ".xhtml"))):
        return "html"
    if is_html and len(_HTML_END.findall(text[: 1 << 14])) >= 3:
        return "html"
    if text.startswith(("<page>", "<siteinfo")):
        raise UserError(f"{place} is a part of a MediaWiki dump without its <mediawiki> element; give the whole dump")
    if is_declared or suffix in (".xml", ".trs"):
        named = f"XML of the kind <{element}>" if element else "XML without an element in its first 64 KiB"
        raise UserError(f"{place} is {named}; expected {KINDS}")
    return None


def _first_element(text: str) -> str:
    """The name of the first element after declarations, comments and the document type; "" where there is none."""
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if text.startswith("<!--", at):
            at = text.find("-->", at) + 3
        elif text.startswith("<?", at):
            at = text.find("?>", at) + 2
        elif text.startswith(("<!DOCTYPE", "<!doctype", "<!Doctype"), at):
            subset, end = text.find("[", at), text.find(">", at)
            at = (text.find("]>", subset) + 2) if 0 <= subset < end else end + 1
        else:
            found = _ELEMENT.match(text, at)
            return found[1] if found else ""
        if at < 4:  # its end was not found
            return ""


def _by_text(text: str, suffix: str, place: str, options: Options) -> str | None:
    lines = text.split("\n", 40)
    if text.startswith("{") and suffix not in (".csv", ".tsv") and _is_json_line(lines[0], len(lines) == 1):
        return "jsonl"
    if suffix == ".json" or (text.startswith("[") and _OBJECT_BEGINS.match(text[1:200].lstrip())):
        raise UserError(
            f"{place} is one JSON value over many lines; expected an object a line: jq -c '.[]' '{place}' > lines.jsonl"
        )
    if len(lines) > 3 and all(_INDEX_LINE.match(line) for line in lines[:3]):
        raise UserError(f"{place} is the index of a multistream dump, not a text; give the dump beside it")
    if suffix in ("", ".txt", ".trs") and is_tagged(text):
        return "tagged transcript"
    if suffix not in (".txt", ".jsonl", ".ndjson") and is_table(text, options.text_column):
        return "csv"
    return None


def _by_name(suffix: str) -> str:
    return {
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".csv": "csv",
        ".tsv": "csv",
        ".docx": "docx",
        ".parquet": "parquet",
        ".html": "html",
        ".htm": "html",
    }.get(suffix, "text")


def _is_json_line(line: str, is_cut: bool) -> bool:
    if _OBJECT_BEGINS.match(line) is None:
        return False
    try:
        return isinstance(json.loads(line), dict)
    except RecursionError:
        return False
    except ValueError:
        return is_cut  # a record longer than the head


def _decoded(head: bytes) -> str:
    """Enough of the text to tell its kind, in UTF-16 too where a mark says so."""
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    return head.decode(encoding, "replace")
