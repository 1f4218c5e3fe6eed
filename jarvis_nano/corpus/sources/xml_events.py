"""expat for files that nobody vouches for: no entity, no depth and no single tag can cost more than a bound."""

from __future__ import annotations

from collections.abc import Callable
from xml.parsers import expat

MAX_DEPTH = 256  # elements in one another; Word's tables in tables have 30
MAX_TOKEN = 1 << 20  # bytes of one tag, comment or declaration, which expat holds whole


class XmlError(ValueError):
    """The bytes are no XML, or XML that is refused; the message says why and where."""


class XmlEvents:
    """Calls `start(name, attributes)`, `end(name)` and `text(part)` for the XML that is fed in pieces.

    XmlError where it is not well-formed, declares an entity (a "bomb" is made of those), or passes a bound above.
    External document types are not fetched. Names are as
    written, with their prefix, or "uri local" with_namespaces. Memory: a piece and MAX_TOKEN.
    """

    def __init__(
        self,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None],
        text: Callable[[str], None],
        *,
        encoding: str | None = None,
        with_namespaces: bool = False,
    ) -> None:
        self._start_of, self._end_of, self._text_of = start, end, text
        self._depth = self._n_silent = 0
        self._parser = parser = expat.ParserCreate(encoding, " " if with_namespaces else None)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.CommentHandler = self._comment
        parser.EntityDeclHandler = self._entity

    def feed(self, data: bytes) -> None:
        """Parse another piece; its calls come before this returns."""
        self._n_silent += len(data)
        self._parse(data, False)
        if self._n_silent > MAX_TOKEN + len(data):
            raise XmlError(f"a tag or comment is longer than {MAX_TOKEN >> 20} MiB")

    def close(self) -> None:
        """There is no more; XmlError where an element is still open."""
        self._parse(b"", True)

    def _parse(self, data: bytes, is_final: bool) -> None:
        try:
            self._parser.Parse(data, is_final)
        except expat.ExpatError as error:
            raise XmlError(str(error)) from error
        except LookupError as error:
            raise XmlError(f"its encoding is unknown: {error}") from error
        except XmlError:
            raise
        except ValueError as error:  # "multi-byte encodings are not supported"
            raise XmlError(str(error)) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._n_silent = 0
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise XmlError(f"elements are nested deeper than {MAX_DEPTH}")
        self._start_of(name, attributes)

    def _end(self, name: str) -> None:
        self._n_silent = 0
        self._depth -= 1
        self._end_of(name)

    def _text(self, part: str) -> None:
        self._n_silent = 0
        self._text_of(part)

    def _comment(self, _: str) -> None:
        self._n_silent = 0

    def _entity(self, name: str, *_: object) -> None:
        raise XmlError(f"it declares the entity {name}, and entities are not expanded")
