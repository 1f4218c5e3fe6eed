"""Wikitext of a page -> its plain text, in French as its readers see it. The XML around it: dump.py.

Passes, each linear: comments, sections without prose, tags, pairs of marks, templates and links, lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from jarvis_nano.corpus.sources.mediawiki.french.table import Rule, key
from jarvis_nano.corpus.sources.mediawiki.lines import paragraphs
from jarvis_nano.corpus.sources.mediawiki.marks import Pieces, plain_spaces, without_marks
from jarvis_nano.corpus.sources.mediawiki.parameters import compile_pattern, read_rules
from jarvis_nano.corpus.sources.mediawiki.rendering import Renderer
from jarvis_nano.corpus.sources.mediawiki.sections import DROPPED_SECTIONS, title_key, without_sections
from jarvis_nano.corpus.sources.mediawiki.site import Site
from jarvis_nano.corpus.sources.mediawiki.tags import tags_rendered, without_comments
from jarvis_nano.errors import UserError

__all__ = ["DROPPED_SECTIONS", "Wikitext", "read_rules"]

# The magic word in the languages of the larger wikis; English works in all of them.
_REDIRECT = re.compile(
    r"\s*#(?:REDIRECT(?:ION)?|WEITERLEITUNG|REDIRECCI[OÓ]N|RINVIA|RINVIO|DOORVERWIJZING|REDIRECIONAMENTO|"
    r"PERENAUGHAN|OMDIRIGERING|OMDIRIGERA|OHJAUS|PATRZ|PRZEKIERUJ|ADKAS|BIRZUZKETA|REDIRECCIÓ)\s*:?\s*"
    r"\[\[\s*:?([^\[\]|\n]+?)\s*(?:\|[^\[\]\n]*)?\]\]",
    re.IGNORECASE,
)


def _compiled(rules: Mapping[str, str]) -> dict[str, Rule | None]:
    compiled: dict[str, Rule | None] = {}
    for name, pattern in rules.items():
        try:
            compiled[key(name)] = compile_pattern(pattern) if pattern else None
        except ValueError as error:
            raise UserError(f"the rule of the template {name!r}: {error}") from error
    return compiled


class Wikitext:
    """Reads pages of one wiki; built once a process, pickles by its settings (not by what it has counted).

    `rules` are the user's own, template name -> pattern, before the built-in ones (parameters.compile_pattern; ""
    drops the template). `drop_sections` are the titles of sections left out with their subsections, `keep_sections`
    those of them to keep all the same; case, markup and commas in titles do not count. UserError on a faulty pattern.
    """

    def __init__(
        self,
        site: Site,
        *,
        rules: Mapping[str, str] = MappingProxyType({}),
        keep_sections: frozenset[str] = frozenset(),
        drop_sections: frozenset[str] = DROPPED_SECTIONS,
    ) -> None:
        self.site = site
        self._settings = (dict(rules), frozenset(keep_sections), frozenset(drop_sections))
        self._dropped = {title_key(title) for title in drop_sections} - {title_key(title) for title in keep_sections}
        self._renderer = Renderer(site, _compiled(rules))

    def __reduce__(self) -> tuple[Callable[..., Wikitext], tuple[object, ...]]:
        return _rebuild, (self.site.language, dict(self.site.namespaces), *self._settings)

    @property
    def unknown(self) -> Counter[str]:
        """Name of a template without a rule -> its uses in prose; boxes alone on their lines do not count."""
        return self._renderer.unknown

    @property
    def examples(self) -> Mapping[str, str]:
        """One use, shortened to a line, of each name in `unknown`."""
        return self._renderer.examples

    def text(self, wikitext: str, *, title: str = "") -> str:
        """The page as paragraphs parted by a blank line; "" for a redirect or where no text is left.

        `title` stands for {{PAGENAME}}. Spaces that do not break become plain ones. Memory: a few times the page.
        """
        if self.redirect(wikitext) is not None:
            return ""
        pieces = Pieces()
        text = without_comments(without_marks(wikitext))
        text = without_sections(text, self._dropped)
        text = tags_rendered(text, pieces)
        text = plain_spaces(self._renderer.render(text, title))
        return pieces.restore(paragraphs(text)).strip()

    def redirect(self, wikitext: str) -> str | None:
        """The title that a redirect leads to, None where the page is none."""
        found = _REDIRECT.match(wikitext)
        return found[1].replace("_", " ").strip() if found else None


def _rebuild(
    language: str,
    namespaces: dict[str, int],
    rules: dict[str, str],
    keep_sections: frozenset[str],
    drop_sections: frozenset[str],
) -> Wikitext:
    site = Site(language, MappingProxyType(namespaces))
    return Wikitext(site, rules=rules, keep_sections=keep_sections, drop_sections=drop_sections)
