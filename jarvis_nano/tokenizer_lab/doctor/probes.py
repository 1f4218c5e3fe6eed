"""The texts that a tokenizer must bring back: one small text for each thing that tokenizers are known to lose.

What is commonest in French stands first: reports show the first that fail."""

from __future__ import annotations

from collections.abc import Sequence

PROBES: dict[str, str] = {
    "a line end": "un\ndeux",
    "a blank line": "un\n\ndeux",
    "a comma and its space": "oui, non",
    "two spaces": "a  b",
    "a superscript": "m²",
    "an ellipsis": "Fin…",
    "œ": "œuvre",
    "guillemets": "« oui »",
    "a dash": "— Non",
    "euro": "5 €",
    "a ligature": "ﬁn",
    "a space between words": "le chat",
    "a space at the beginning": " le",
    "a space at the end": "le ",
    "spaces alone": "   ",
    "a line end of Windows": "un\r\ndeux",
    "a tab": "a\tb",
    "the indentation of code": "if a:\n    b()",
    "no-break space": "10\u00a0%",
    "narrow no-break space": "Où\u202f?",
    "a typographic apostrophe": "l’eau",
    "an elision": "l'eau",
    "a hyphen": "dit-il",
    "a space before a question mark": "Où ?",
    "accents": "Noël été où ça",
    "accented capitals": "ÉÀÇÊ",
    "capitals": "Le PARIS",
    "an accent of its own": "e\u0301te\u0301",
    "Œ": "Œdipe",
    "æ": "et cætera",
    "an ordinal": "1ᵉʳ",
    "a fraction": "½",
    "a number sign": "№ 5",
    "a wide letter": "Ａ",
    "a Roman numeral": "Ⅻ",
    "a degree": "20 °C",
    "a year": "1789",
    "a decimal comma": "3,14",
    "thousands": "12 345",
    "emoji": "😀",
    "a joined emoji": "👩\u200d🚀",
    "a flag": "🇫🇷",
    "a rare Latin letter": "ŵ",
    "Greek": "αβγ",
    "Cyrillic": "мир",
    "Arabic": "سلام",
    "Chinese": "中文",
    "mathematics": "∀x∈ℝ",
    "a soft hyphen": "co\u00adop",
    "a zero-width space": "a\u200bb",
    "a byte-order mark": "\ufeffa",
    "a control character": "a\x07b",
    "the replacement character": "a\ufffdb",
    "a lower block": "a▁b",
    "brackets": "[a] {b} <c>",
    "quotes": "\"a\" 'b'",
    "code": "x = a[0]*2 # ok",
    "an address": "https://a.fr/b?c=1&d",
    "every sign of ASCII": "!#$%&()*+,-./:;<=>?@\\^_`|~",
}


def with_tokens(tokens: Sequence[str]) -> dict[str, str]:
    """PROBES, and the text of each special token inside another text: a user may type it."""
    return PROBES | {f"the text of {token}": f"un {token} deux" for token in tokens[:32]}
