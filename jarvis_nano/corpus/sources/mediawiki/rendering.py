"""From pairs of marks to text: templates by their rules, links by their labels, tables and files gone.

Lists, headings and quotes are left as written: lines.py reads them, once the templates have spoken.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from jarvis_nano.corpus.sources.mediawiki.french import languages, table
from jarvis_nano.corpus.sources.mediawiki.functions import FUNCTIONS, magic_word, silent
from jarvis_nano.corpus.sources.mediawiki.marks import HOLE, without_marks
from jarvis_nano.corpus.sources.mediawiki.pairing import LINK, PARAMETER, TABLE, TEMPLATE, Span, pair
from jarvis_nano.corpus.sources.mediawiki.parameters import Arguments, first
from jarvis_nano.corpus.sources.mediawiki.site import CATEGORY, FILE, Site
from jarvis_nano.corpus.sources.mediawiki.site import TEMPLATE as TEMPLATES

MAX_DEPTH = 40  # of constructs within each other, as in MediaWiki; what lies deeper goes
MAX_REMEMBERED = 50_000  # rendered templates, names and links kept in memory: some 20 MB at most
MAX_EXAMPLE = 120  # characters of an unknown template's example

# Most links hold no mark and no colon: they are resolved before anything is paired.
_PLAIN_LINK = re.compile(r"\[\[(?:[^\[\]{}|:\n]*+\|([^\[\]{}|\n=]++)|([^\[\]{}|\n=:#]++))\]\]")
_WIKI_CODES = (
    "simple ast az ba bar be-x-old be-tarask ceb ckb cv diq ext fa fo frr fur hsb ht ia ie io jbo jv kk kv ky "
    "lmo lij mzn nap nds nds-nl new ps pms pnb qu rm rue sah se sh si so su szl tg tk tl tt ug vec vls vo war "
    "xal yo zea zh-min-nan zh-yue zh-classical roa-rup roa-tara bat-smg fiu-vro map-bms crh arz an am as ab "
    "ace ay bcl bjn bm ca"
)
_WIKIS = frozenset(languages.NAMES) | frozenset(_WIKI_CODES.split())  # wikis of other languages, as in [[en:Title]]
_SISTER_CODES = "wikt s q b n v w c m d species commons wikisource wiktionary wikipedia"
_SISTERS = frozenset(_SISTER_CODES.split())
_PARENTHESIS = re.compile(r" ?\([^()]*\)$|, .*$")
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z]{2,8})?")
_NAME_PREFIX = re.compile(r"(?:subst|safesubst|msg|msgnw|raw)\s*:\s*", re.IGNORECASE)
# {{Charles VII}}, {{Afrique du Sud}}: a proper name, with capitals but for its particles
_SPOKEN_NAME = re.compile(
    r"(?=.{4,40}$)[A-ZÀ-ÖØ-ÞŒ][\w'’.-]*+"
    r"(?:[ -](?:(?:d'|l')?[A-ZÀ-ÖØ-ÞŒ][\w'’.]*+|de|du|des|la|le|les|et|en|sur|von|van))*+"
)

_Found = tuple[str, bool, "table.Rule | None"]


class Renderer:
    """Renders pages; remembers templates met before. `unknown` counts names without a rule, `examples` shows a use."""

    def __init__(self, site: Site, rules: Mapping[str, table.Rule | None]) -> None:
        self.site, self.rules = site, rules
        self.unknown: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._rendered: dict[str, str] = {}
        self._found: dict[str, _Found] = {}

    def render(self, text: str, title: str) -> str:
        text = "".join(filter(None, _PLAIN_LINK.split(text)))  # split gives text, label, target, text…
        return _Page(self, text, title).all() if _has_marks(text) else text

    def find(self, raw: str) -> _Found:
        """(name, known, rule) of a template's name as written."""
        found = self._found.get(raw)
        if found is None:
            found = self._look_up(raw)
            if len(self._found) >= MAX_REMEMBERED:
                self._found.clear()
            self._found[raw] = found
        return found

    def _look_up(self, raw: str) -> _Found:
        name = _NAME_PREFIX.sub("", raw.strip())
        _, colon, rest = name.partition(":")
        if colon and self.site.namespace(name) == TEMPLATES:
            name = rest
        name = table.key(name)
        for candidate in (name, name.lower()):
            if candidate in self.rules:
                return name, True, self.rules[candidate]
        return name, *table.find(name)

    def remember(self, source: str, rendered: str) -> str:
        if len(self._rendered) >= MAX_REMEMBERED:
            self._rendered.clear()
        self._rendered[source] = rendered
        return rendered

    def known(self, source: str) -> str | None:
        return self._rendered.get(source)

    def count(self, name: str, source: str) -> None:
        self.unknown[name] += 1
        if name not in self.examples and len(self.examples) < MAX_REMEMBERED:
            source = " ".join(without_marks(source[: 2 * MAX_EXAMPLE]).split())
            self.examples[name] = source if len(source) <= MAX_EXAMPLE else source[: MAX_EXAMPLE - 1] + "…"


def _has_marks(text: str) -> bool:
    return "{{" in text or "[[" in text or "{|" in text or "}}" in text or "]]" in text


class _Page:
    """One text with its spans; `at` walks through them, so that each is looked at once."""

    def __init__(self, renderer: Renderer, text: str, title: str) -> None:
        self.renderer, self.text, self.title = renderer, text, title
        self.spans = pair(text)
        self.starts = [span.start for span in self.spans]
        self.at = 0

    def all(self) -> str:
        return self.between(0, len(self.text), 0)

    def between(self, start: int, end: int, depth: int) -> str:
        """The rendered text from `start` to `end`, whose spans begin at self.at."""
        text, spans = self.text, self.spans
        pieces = []
        while self.at < len(spans) and spans[self.at].start < end:
            span = spans[self.at]
            pieces.append(text[start : span.start])
            pieces.append(self.span(span, depth))
            start = span.end
        pieces.append(text[start:end])
        return "".join(pieces)

    def span(self, span: Span, depth: int) -> str:
        """One construct; leaves self.at after all that lies in it."""
        kind = span.kind
        if kind == TEMPLATE and depth < MAX_DEPTH:
            self.at += 1
            return self.template(span, depth + 1)
        if kind == LINK and depth < MAX_DEPTH:
            self.at += 1
            return self.link(span, depth + 1)
        if kind == PARAMETER and depth < MAX_DEPTH:
            self.at += 1
            values = self.values(span.start + 3, span.end - 3, depth + 1)
            return values[1] if len(values) > 1 else ""
        self.at += 1
        self.skip_within(span)
        return "\n\n" if kind == TABLE else ""

    def values(self, start: int, end: int, depth: int) -> list[str]:
        """The rendered values between the bars of start..end, names and signs of equality included."""
        return ["".join(pieces) for pieces, _ in self._split(start, end, depth)]

    def arguments(self, start: int, end: int, depth: int) -> Arguments:
        """The arguments between the bars of start..end: by number from "1", or by name; stripped."""
        arguments: Arguments = {}
        number = 0
        for pieces, equals in self._split(start, end, depth):
            if equals is None:
                number += 1
                arguments[str(number)] = "".join(pieces).strip()
            else:
                piece, position = equals
                name = ("".join(pieces[:piece]) + pieces[piece][:position]).strip()
                arguments[name] = (pieces[piece][position + 1 :] + "".join(pieces[piece + 1 :])).strip()
        return arguments

    def _split(self, start: int, end: int, depth: int) -> list[tuple[list[str], tuple[int, int] | None]]:
        """Pieces of each part, and where its first = stands outside of inner constructs: (piece, position)."""
        text, spans = self.text, self.spans
        parts: list[tuple[list[str], tuple[int, int] | None]] = []
        pieces: list[str] = []
        equals: tuple[int, int] | None = None
        while True:
            span = spans[self.at] if self.at < len(spans) and spans[self.at].start < end else None
            literal = text[start : span.start if span else end]
            for i, piece in enumerate(literal.split("|")):
                if i:
                    parts.append((pieces, equals))
                    pieces, equals = [], None
                if equals is None and (position := piece.find("=")) >= 0:
                    equals = len(pieces), position
                pieces.append(piece)
            if span is None:
                parts.append((pieces, equals))
                return parts
            pieces.append(self.span(span, depth))
            start = span.end

    def template(self, span: Span, depth: int) -> str:
        text, start, end = self.text, span.start + 2, span.end - 2
        plain = self.at >= len(self.spans) or self.spans[self.at].start >= end  # nothing lies within
        source = text[span.start : span.end] if plain and end - start < 200 else ""
        if source and (known := self.renderer.known(source)) is not None:
            return known
        inner = end if plain else self.spans[self.at].start
        bar = text.find("|", start, inner)
        if bar < 0 and not plain and ":" not in text[start:inner]:
            return self.composed(span, start, end, depth)
        raw = text[start : inner if bar < 0 else bar]
        if ":" in raw and (value := self.function(raw, span, depth)) is not None:
            return value
        name, known_rule, rule = self.renderer.find(raw)
        if rule is None and known_rule:
            self.skip_within(span)
            return ""
        if bar < 0 and (word := magic_word(raw.strip(), self.title)) is not None:
            return word
        arguments = self.arguments(bar + 1, end, depth) if bar >= 0 else {}
        self.skip_within(span)
        if rule is None:
            return self.unknown(name, raw, arguments, span, depth)
        rendered = rule(arguments)
        return self.renderer.remember(source, rendered) if source else rendered

    def skip_within(self, span: Span) -> None:
        if self.at < len(self.starts) and self.starts[self.at] < span.end:
            self.at = bisect_left(self.starts, span.end, self.at)

    def composed(self, span: Span, start: int, end: int, depth: int) -> str:
        """A template whose name holds a construct itself: {{ {{{1}}} | … }}, {{nobr {{x}}}}."""
        values = self._split(start, end, depth)
        raw = "".join(values[0][0])
        name, known, rule = self.renderer.find(raw[:200])
        arguments = {str(i): "".join(pieces).strip() for i, (pieces, _) in enumerate(values[1:], 1)}
        if known:
            return rule(arguments) if rule else ""
        return self.unknown(name, raw, arguments, span, depth)

    def function(self, raw: str, span: Span, depth: int) -> str | None:
        """{{name:…}}: a parser function's value; None where it is a template with a colon in its name."""
        name, _, _ = raw.partition(":")
        name = name.strip()
        if silent(name):
            self.skip_within(span)
            return ""
        function = FUNCTIONS.get(name.lower())
        if function is not None:
            return function(self.values(self.text.index(":", span.start) + 1, span.end - 2, depth))
        if name.startswith("#"):
            self.skip_within(span)
            return HOLE
        return None

    def unknown(self, name: str, raw: str, arguments: Arguments, span: Span, depth: int) -> str:
        """No rule: alone on its lines it is a box and goes; in a sentence its likeliest text stands, counted."""
        if depth == 1 and self.alone(span):
            return ""
        self.renderer.count(name, self.text[span.start : span.end])
        text = first(arguments, "texte", "text", "contenu")
        if text:
            return text
        if name.isdigit() and "1" in arguments:
            return f"{name} {arguments['1']}"
        if given := arguments.get("1"):
            return arguments["2"] if arguments.get("2") and _LANGUAGE_CODE.fullmatch(given) else given
        # {{Charles VII}} names what it shows; {{loupe verte}} is an icon
        return raw.strip() if not arguments and _SPOKEN_NAME.fullmatch(raw.strip()) else ""

    def alone(self, span: Span) -> bool:
        text, before, after = self.text, span.start - 1, span.end
        while after < len(text) and text[after] in " \t":
            after += 1
        return (before < 0 or text[before] == "\n") and (after == len(text) or text[after] == "\n")

    def link(self, span: Span, depth: int) -> str:
        text, start, end = self.text, span.start + 2, span.end - 2
        inner = self.spans[self.at].start if self.at < len(self.spans) and self.spans[self.at].start < end else end
        bar = text.find("|", start, inner)
        target = text[start : inner if bar < 0 else bar].strip()
        if "\n" in target:
            return self.between(start, end, depth)
        prefix, colon, _ = target.partition(":")
        if colon and prefix and self.hidden(target, prefix):
            self.skip_within(span)
            return ""
        if bar >= 0:
            label = self.between(bar + 1, end, depth)
            if label or target.startswith("#"):
                return label
        elif inner < end:
            return self.between(start, end, depth)
        return self.shown(target, piped=bar >= 0)

    def hidden(self, target: str, prefix: str) -> bool:
        """Files, categories and links to the same page in other languages show nothing where they stand."""
        number = self.renderer.site.namespace(target)
        return number in (FILE, CATEGORY, -2) or (number == 0 and prefix.strip() in _WIKIS)

    def shown(self, target: str, *, piped: bool) -> str:
        """A link without a label shows its target; with an empty one (« [[Aide:Lien (sens)|]] ») the bare name."""
        target = target.lstrip(":").strip()
        page, _, section = target.partition("#")
        target = page or section
        prefix, _, rest = target.partition(":")
        if rest and prefix.lower() in _SISTERS | _WIKIS:  # [[wikt:mot]], [[:en:word]]
            target = rest
        if piped or self.renderer.site.namespace(target):
            target = target.rpartition(":")[2]
        return _PARENTHESIS.sub("", target) if piped else target.replace("_", " ")
