"""Is a message French? Cautious: a short command, a name, code or a translation asked for is never said not to be.

French is known by its function words, which costs two microseconds; only a text that has hardly any is given to lingua
(optional, a millisecond), or to the function words of five other languages where lingua is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

MIN_WORDS = 8
_ENOUGH = 0.15  # French prose has 0.35 to 0.55 of them, English, by chance words such as "on" and "a", up to 0.08
_FRENCH_WORDS = (
    "le la les un une des du de et à au aux en dans sur sous par pour avec sans chez vers est sont était être a "
    "ont ai as avez avons avoir fait que qui quoi dont où ne pas plus ce cet cette ces ça cela se sa son ses leur "
    "leurs mon ma mes ton ta tes notre nos votre vos je tu il elle on nous vous ils elles me te lui y mais ou "
    "donc or ni car si comme quand très bien aussi peut peux sera soit entre même tout tous toute toutes après "
    "avant c'est d'un d'une qu'il qu'elle n'est s'il j'ai comment quel quelle quels quelles combien pourquoi"
)
_FRENCH = frozenset(_FRENCH_WORDS.split())
_OTHERS = {
    "English": "the of and to in is that it for was are with as his be this have from or had by not but what you your",
    "Spanish": "el los las del que y en es por con para una su al lo como más pero sus este ya esta muy también hay",
    "German": "der die das und ist nicht ein eine zu den mit sich auf für von dem im auch es an werden aus er hat dass",
    "Italian": "il lo gli di che è per un una non sono da con del della le si più come anche ma nel questo alla dei",
    "Portuguese": "o os as do da que e em um uma para com não por mais como mas foi ao ele das tem à seu sua dos",
}
_CODE_BLOCK = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_NO_PROSE = re.compile(r"`[^`\n]*`|https?://\S+|<[^<>\n]{1,200}>|\"[^\"\n]*\"|«[^«»\n]*»|“[^“”\n]*”")
_CODE_LINE = re.compile(r"[;{}=()\[\]<>|\\$#*+]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ELISION = re.compile(r"\b(?:[cdjlmnst]|qu)['’](?=\w)")
_OTHER_LANGUAGE = re.compile(
    r"tradu|translat|anglais|english|espagnol|allemand|italien|portugais|latin\b|néerlandais|langue|language|hymne|"
    r"citation|chanson|films?\b|titres?\b|séries?\b|albums?\b|slogan|proverbe|paroles|corrige|orthographe|rime|script|code|fonction|programm|html|sql|python|commande"
)
Detect = Callable[[str], str | None]
"""A text to the name of its language, None where it is French or cannot be told."""


class Asked:
    """What the user has written so far. Each text is searched once, and only where it matters."""

    def __init__(self, *lowered: str) -> None:
        self._unsearched = list(lowered)
        self._found = False

    def add(self, lowered: str) -> None:
        """One more text of the user, in lower case."""
        self._unsearched.append(lowered)

    @property
    def is_for_other_words(self) -> bool:
        """Whether a translation, a quotation or code was asked for: the answers have other words than French ones."""
        self._found = self._found or any(map(_OTHER_LANGUAGE.search, self._unsearched))
        self._unsearched.clear()
        return self._found


def foreign_language(lowered: str, asked: Asked, detect: Detect) -> str | None:
    """The language of a message in lower case that is surely not French; None otherwise.

    Whoever has `asked` for other words than French ones goes on about them.
    """
    words = lowered.split()
    if len(words) < MIN_WORDS or sum(map(_FRENCH.__contains__, words)) >= _ENOUGH * len(words):
        return None
    if asked.is_for_other_words:
        return None
    prose = _prose(lowered)
    words = _WORD.findall(prose)
    if len(words) < MIN_WORDS:
        return None
    n_french = sum(map(_FRENCH.__contains__, words)) + len(_ELISION.findall(prose))
    return None if n_french >= _ENOUGH * len(words) else detect(prose[:500])


def _prose(text: str) -> str:
    """The text without quotations and code: blocks, names in back quotes, addresses, lines full of signs."""
    text = _NO_PROSE.sub(" ", _CODE_BLOCK.sub(" ", text))
    lines = [line for line in text.splitlines() if 12 * len(_CODE_LINE.findall(line)) <= len(line)]
    return "\n".join(lines)


@cache
def detector() -> tuple[Detect, str]:
    """The best judge there is, and what it is, for a report to say."""
    try:
        from lingua import Language, LanguageDetectorBuilder
    except ImportError:
        return _by_words, 'function words (lingua, which judges better, is not installed: pip install -e ".[corpus]")'
    names = ("FRENCH", "ENGLISH", "SPANISH", "GERMAN", "ITALIAN", "PORTUGUESE", "DUTCH", "CATALAN", "LATIN")
    built = LanguageDetectorBuilder.from_languages(*(getattr(Language, name) for name in names)).build()

    def detect(text: str) -> str | None:
        values = {value.language.name: value.value for value in built.compute_language_confidence_values(text)}
        best = max(values, key=values.__getitem__)
        return best.capitalize() if values[best] > 0.6 and values["FRENCH"] < 0.1 else None

    return detect, "function words, then lingua"


@cache
def _other_words() -> dict[str, frozenset[str]]:
    return {name: frozenset(words.split()) - _FRENCH for name, words in _OTHERS.items()}


def _by_words(text: str) -> str | None:
    words = _WORD.findall(text)
    shares = {name: sum(map(known.__contains__, words)) / len(words) for name, known in _other_words().items()}
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] >= 0.2 else None
