"""The table of rules: what each does, on what, before and after. docs/normalising.md shows this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jarvis_nano.corpus.normalise import characters, mojibake, spacing, typography


@dataclass(frozen=True)
class Rule:
    """One switchable rule: `apply` maps a text to a text.

    `triggers`: the rule has nothing to do in a text without any of these characters; empty: it looks for itself.
    `instead_of`: a rule that cannot be on together with this one; switching this one on switches that one off.
    """

    name: str
    purpose: str
    before: str
    after: str
    apply: Callable[[str], str]
    on: bool = True
    triggers: frozenset[str] = frozenset()
    instead_of: str = ""


# Repeated until nothing changes, for each may uncover work for another: a repaired pair may be a soft hyphen, and
# without a zero-width space Ã and © are neighbours. The order matters: C1 characters become cp1252's before controls
# go, or œ (U+009C) would be lost; and U+00AD is a half of í (C3 AD) in mojibake before it is a soft hyphen.
CHARACTER_RULES = (
    Rule(
        "invisible",
        "Zero-width, bidirectional and other invisible characters are removed, the byte-order mark too.",
        "un\u200b mot \u200ecaché\ufeff",
        "un mot caché",
        characters.drop_invisible,
        triggers=frozenset(characters.INVISIBLE),
    ),
    Rule(
        "joiners",
        "Zero-width joiners and non-joiners are removed between Latin letters; Persian, Hindi and emoji keep theirs.",
        "af\u200cfaire",
        "affaire",
        characters.drop_joiners,
        triggers=frozenset(characters.JOINERS),
    ),
    Rule(
        "c1",
        "U+0080 to U+009F are read as Windows-1252, which is what wrote them.",
        "l\u0092\u009cuvre \u0085",
        "l'œuvre ...",
        characters.map_c1,
        triggers=frozenset(characters.CP1252),
    ),
    Rule(
        "ligatures",
        "The typographic ligatures of PDF files are two letters again; œ and æ are letters of French and stay.",
        "la ﬁn de l'œuvre, l'oﬃce",
        "la fin de l'œuvre, l'office",
        characters.split_ligatures,
        triggers=frozenset(characters.LIGATURES),
    ),
    Rule(
        "nfc",
        "Letters and their accents are one character (NFC). Never NFKC: m² stays m², not m2.",
        "e\u0301te\u0301, 5 m²",
        "été, 5 m²",
        characters.compose,
    ),
    Rule(
        "entities",
        "HTML entities are the characters they name.",
        "caf&eacute; &amp; th&#233;",
        "café & thé",
        characters.decode_entities,
        on=False,
        triggers=frozenset("&"),
    ),
    Rule(
        "mojibake",
        "UTF-8 that was read as another encoding is repaired, on lines with evidence only (ftfy).",
        "le cÅ“ur dâ€™un Ã©tÃ©",
        "le cœur d'un été",
        mojibake.repair,
        triggers=mojibake.HINTS,
    ),
    Rule(
        "soft_hyphens",
        "Soft hyphens (U+00AD), which only show where a line breaks, are removed.",
        "anti\u00adconsti\u00adtutionnel",
        "anticonstitutionnel",
        characters.drop_soft_hyphens,
        triggers=frozenset(characters.SOFT_HYPHEN),
    ),
    Rule(
        "controls",
        "Control characters but line feed and tab are removed; half of a surrogate pair becomes U+FFFD.",
        "un\u0007 mot\u0000",
        "un mot",
        characters.drop_controls,
        triggers=frozenset(characters.CONTROLS) | frozenset(map(chr, range(0xD800, 0xE000))),
    ),
    Rule(
        "line_ends",
        "CR LF, CR, form feed, vertical tab, U+2028 and U+2029 are line feeds.",
        "un\r\ndeux\u2028trois",
        "un\ndeux\ntrois",
        characters.unify_line_ends,
        triggers=frozenset(characters.LINE_ENDS),
    ),
)

# Applied once, in this order: none makes work for one before it.
LAYOUT_RULES = (
    Rule(
        "spaces",
        "No-break, thin and all other wide spaces are plain spaces.",
        "10\u202f000\u00a0euros\u202f!",
        "10 000 euros !",
        spacing.plain_spaces,
        triggers=frozenset(spacing.SPACES),
    ),
    Rule(
        "hyphens",
        "U+2010 and U+2011 are hyphens, the horizontal bar U+2015 is a dash.",
        "― Peut\u2011être.",
        "— Peut-être.",
        typography.unify_hyphens,
        triggers=frozenset(typography.HYPHENS),
    ),
    Rule(
        "guillemets",
        "Quotation marks in pairs on one line are « ».",
        'Il dit : "Oui." Puis “non”, <<peut-être>>.',
        "Il dit : « Oui. » Puis « non », « peut-être ».",
        typography.quote_in_french,
        on=False,
        triggers=frozenset('"“„<'),
    ),
    Rule(
        "straight_apostrophes",
        "The apostrophe between letters is ', as in nine tenths of French Wikipedia.",
        "l’eau, aujourd’hui",
        "l'eau, aujourd'hui",
        typography.straighten_apostrophes,
        triggers=frozenset(typography.APOSTROPHES),
    ),
    Rule(
        "curly_apostrophes",
        "The apostrophe between letters is ’, as books print it.",
        "l'eau, aujourd'hui",
        "l’eau, aujourd’hui",
        typography.curl_apostrophes,
        on=False,
        triggers=frozenset(typography.APOSTROPHES + "'"),
        instead_of="straight_apostrophes",
    ),
    Rule(
        "expand_ellipses",
        "… is three full stops.",
        "Enfin…",
        "Enfin...",
        typography.expand_ellipses,
        triggers=frozenset("…"),
    ),
    Rule(
        "contract_ellipses",
        "Three full stops are ….",
        "Enfin...",
        "Enfin…",
        typography.contract_ellipses,
        on=False,
        instead_of="expand_ellipses",
    ),
    Rule(
        "double_hyphens",
        "-- that stands alone is a dash; --help and i-- stay.",
        "-- Entrez ! dit-il -- enfin.",
        "— Entrez ! dit-il — enfin.",
        typography.join_double_hyphens,
    ),
    Rule(
        "dialogue",
        "A hyphen or short dash that begins a line is a dash. Off, for lists begin so too.",
        "- Entrez !\n– Non.",
        "— Entrez !\n— Non.",
        typography.mark_dialogue,
        on=False,
        triggers=frozenset("-–"),
    ),
    Rule(
        "punctuation",
        "One space before ; : ! ? and inside « », on lines that read as French; URLs, times, ratios and code stay.",
        "Il dit: «Non!» à 12:30; est-ce vrai?",
        "Il dit : « Non ! » à 12:30 ; est-ce vrai ?",
        typography.space_punctuation,
        triggers=frozenset(";:!?«»"),
    ),
    Rule(
        "commas",
        "No space before a comma. Off, for in damaged text it shows that something is missing.",
        "en usent mal , dit-il",
        "en usent mal, dit-il",
        typography.close_commas,
        on=False,
        triggers=frozenset(","),
    ),
    Rule(
        "space_runs",
        "Runs of spaces and tabs within a line are one space; what indents a line stays.",
        "un  mot\tpuis   deux",
        "un mot puis deux",
        spacing.collapse_runs,
    ),
    Rule(
        "indents",
        "Lines begin without spaces. Off: it would flatten code and verse.",
        "  Mignonne, allons voir\n    si la rose",
        "Mignonne, allons voir\nsi la rose",
        spacing.strip_indents,
        on=False,
        triggers=frozenset(" \t"),
    ),
    Rule(
        "trailing_spaces",
        "Lines end without spaces.",
        "un vers  \nun autre \n",
        "un vers\nun autre",
        spacing.strip_line_ends,
        triggers=frozenset(" \t"),
    ),
    Rule(
        "blank_lines",
        "At most one blank line between two lines, none at the ends of the text.",
        "\nun\n\n\n\ndeux\n",
        "un\n\ndeux",
        spacing.limit_blank_lines,
        triggers=frozenset("\n"),
    ),
    Rule(
        "oe",
        "oe is œ in the words of a list (cœur, sœur, œuvre, œil, vœu, nœud, bœuf …); coexister and poète stay.",
        "Ma soeur coexiste, à contrecoeur. OEuvres.",
        "Ma sœur coexiste, à contrecœur. Œuvres.",
        typography.restore_oe,
        on=False,
    ),
)

RULES = CHARACTER_RULES + LAYOUT_RULES
