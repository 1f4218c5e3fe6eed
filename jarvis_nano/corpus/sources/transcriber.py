"""Transcripts of speech: Transcriber XML (.trs), or lines tagged « spk1: … », to a dialogue that reads as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources.source import Options, Source
from jarvis_nano.corpus.sources.text import MAX_DOCUMENT, bounded, decode, documents_of
from jarvis_nano.corpus.sources.xml_events import XmlError, XmlEvents

_CHUNK = 1 << 16
_AT_ITS_BEGINNING = ("instantaneous", "begin")  # extents of an event; of a pair the end says nothing new
_MAX_SPEAKERS = 10_000
# Marks of noise between brackets: what is in capitals, Transcriber's own short codes, and the words people write.
_MARK = re.compile(
    r"\[[A-ZÀ-Þ][A-ZÀ-Þ0-9_ .+-]{1,30}\]|\[[-+]?(?i:b|bb|bg|e|i|ch|conv|mic|n|nontrans|pf|pif|r|rire|shh|sif|tx|"
    r"bruits?|rires?|musique|toux|silence|pause|inaudible|applaudissements|noise|laugh|laughter|music|unk|inspiration|"
    r"expiration|souffle)[-+]?\]|</?(?i:noise|unk|sil|laugh|spoken_noise)/?>"
)
_SPACES = re.compile("[\t\n\r ]+")
_TAG = re.compile(
    r"^[ \t]{0,20}[<\[(]?((?:spk|speaker|loc|locuteur|locutrice|intervenant)[ _]?\d{1,4})[>\])]?[ \t]{0,20}:",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<[^<>]{1,2000}>")
_CURLY_VALUE = re.compile('=[ \u00a0]?[«“”„][ \u00a0]?([^«»“”„<>"]{0,200}?)[ \u00a0]?[»“”]')


def read_transcript(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The dialogue of a Transcriber file, a turn a line, a blank line between sections, in the encoding it declares.

    Damage is what is no XML: the file as a whole, but what came before the fault is delivered. A document type is not
    fetched, an entity not expanded. Memory: a section, at most MAX_DOCUMENT characters, and a chunk.
    """
    yield from documents_of(_joined(_sections(iter(lambda: file.read(_CHUNK), b""), source)), source)


def dialogues(xml: str, source: Source) -> Iterator[str]:
    """The dialogues of Transcriber XML that stands in a text (a .docx): one or more <Trans>, quotes curled by Word."""
    starts = [match.start() for match in re.finditer("<Trans[ >]", xml)]
    for begin, end in zip(starts, [*starts[1:], len(xml)]):
        part = _MARKUP.sub(lambda tag: _CURLY_VALUE.sub(r'="\1"', tag[0]), xml[begin:end])
        close = part.find("</Trans>")
        part = part[: close + 8] if close >= 0 else part
        yield from _joined(_sections(iter([part.encode()]), source, encoding="UTF-8"))


def read_tagged(file: BinaryIO, source: Source) -> Iterator[Document]:
    """The text of a transcript with lines « spk1: … », as clean_tagged gives it; memory as for text.read_text."""

    def texts() -> Iterator[str]:
        held = ""
        for chunk in decode(file, source):
            held += chunk
            if len(held) > MAX_DOCUMENT:
                cut = held.rfind("\n") + 1 or len(held)
                yield from bounded(clean_tagged(held[:cut], source.options))
                held = held[cut:]
        yield from bounded(clean_tagged(held, source.options))

    yield from documents_of(texts(), source)


def is_tagged(head: str) -> bool:
    """Whether a text is such a transcript: three lines or more, and a third of all, begin with a speaker's tag."""
    lines = [line for line in head.split("\n") if line.strip()]
    n_tagged = sum(_TAG.match(line) is not None for line in lines)
    return n_tagged >= 3 and 3 * n_tagged >= len(lines)


def clean_tagged(text: str, options: Options) -> str:
    """Speaker tags as `options.speakers` has them, marks of noise out (unless kept), a turn a line."""
    turns: list[_Turn] = []
    for line in text.split("\n"):
        tag = _TAG.match(line)
        speech = line[tag.end() :] if tag else line
        if tag:
            turns.append(_Turn(tag[1], [speech]))
        elif not speech.strip():
            turns.append(_Turn("", []))
        elif turns and turns[-1].parts:  # a turn over several lines
            turns[-1].parts.append(" " + speech)
        else:
            turns.append(_Turn("", [speech]))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(turn.line(options) for turn in turns)).strip("\n")


def clean_marks(text: str, *, keep_events: bool = False) -> str:
    """`text` without [NOISE], [rire], <unk>…, white space made single."""
    if not keep_events:
        text = _MARK.sub(" ", text)
    return _SPACES.sub(" ", text).strip()


@dataclass
class _Turn:
    speaker: str
    parts: list[str] = field(default_factory=list)

    def line(self, options: Options) -> str:
        speech = clean_marks("".join(self.parts), keep_events=options.keep_events)
        if not speech or not self.speaker or options.speakers == "none":
            return speech
        return f"— {speech}" if options.speakers == "dashes" else f"{self.speaker} : {speech}"


class _Parser:
    """The handlers of XmlEvents: `ready` gets the lines of each section that is closed."""

    def __init__(self, options: Options) -> None:
        self.ready: list[str] = []
        self.turns: list[_Turn] = []
        self._options = options
        self._names: dict[str, str] = {}
        self._speakers: list[str] = []  # of the turn that is open
        self._is_in_turn = self._is_left_out = False
        self._size = 0

    def take(self) -> list[str]:
        """What is ready, handed over."""
        taken, self.ready = self.ready, []
        return taken

    def section(self) -> None:
        """Close what has been gathered."""
        lines = [line for turn in _merged(self.turns) if (line := turn.line(self._options))]
        if lines:
            self.ready.append("\n".join(lines))
        self.turns.clear()
        self._size = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Speaker" and len(self._names) < _MAX_SPEAKERS:
            label = attributes.get("name", "").strip() or attributes.get("id", "")
            self._names[attributes.get("id", "")] = " ".join(label.split())
        elif name == "Section":
            self._is_left_out = attributes.get("type") == "nontrans"
        elif name == "Turn" and not self._is_left_out:
            self._is_in_turn = True
            self._speakers = [self._names.get(one, one) for one in attributes.get("speaker", "").split()]
            self.turns.append(_Turn(", ".join(self._speakers)))
        elif self._is_in_turn:
            self._mark(name, attributes)

    def _mark(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Who":  # speakers at once: each has a line of its own
            number = attributes.get("nb", "")
            n = int(number) if number.isdigit() and len(number) < 4 else 0
            speaker = self._speakers[n - 1] if 0 < n <= len(self._speakers) else ""
            self.turns.append(_Turn(speaker))
        elif name == "Event" and self._options.keep_events and attributes.get("extent", "begin") in _AT_ITS_BEGINNING:
            self.text(f" [{attributes.get('desc', '')}] ")
        else:  # Sync, Event, Comment, Background: the words on both sides are apart
            self.text(" ")

    def end(self, name: str) -> None:
        if name == "Turn":
            self._is_in_turn = False
        if name in ("Section", "Trans") or (name == "Turn" and self._size > MAX_DOCUMENT // 4):
            self.section()

    def text(self, text: str) -> None:
        if self._is_in_turn:
            if not self.turns:  # a section that ends within a turn
                self.turns.append(_Turn(""))
            self.turns[-1].parts.append(text)
            self._size += len(text)
            if self._size > MAX_DOCUMENT:
                speaker = self.turns[-1].speaker
                self.section()
                self.turns.append(_Turn(speaker))


def _merged(turns: list[_Turn]) -> Iterator[_Turn]:
    """Turns of one speaker in a row made one: Transcriber breaks a turn where the topic or the noise changes."""
    last: _Turn | None = None
    for turn in turns:
        if not "".join(turn.parts).strip():
            continue
        if last is not None and last.speaker == turn.speaker:
            last.parts += [" ", *turn.parts]
            continue
        if last is not None:
            yield last
        last = turn
    if last is not None:
        yield last


def _sections(chunks: Iterator[bytes], source: Source, encoding: str | None = None) -> Iterator[str]:
    gathered = _Parser(source.options)
    events = XmlEvents(gathered.start, gathered.end, gathered.text, encoding=encoding)
    try:
        for chunk in chunks:
            events.feed(chunk)
            yield from gathered.take()
        events.close()
    except XmlError as error:
        gathered.section()
        yield from gathered.take()
        source.damaged("", f"is broken XML: {error}; what comes after is left out")
    yield from gathered.take()


def _joined(sections: Iterator[str]) -> Iterator[str]:
    """Sections as one text, a blank line between them, in pieces of at most MAX_DOCUMENT characters."""
    held: list[str] = []
    size = 0
    for section in sections:
        if held and size + len(section) > MAX_DOCUMENT:
            yield from bounded("\n\n".join(held))
            held, size = [], 0
        held.append(section)
        size += len(section) + 2
    yield from bounded("\n\n".join(held))
