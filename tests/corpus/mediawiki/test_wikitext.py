"""Wikitext to plain text: named sentences come out as readers see them, nothing is lost by broken markup or crashes."""

from __future__ import annotations

import pickle
import re
import time
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jarvis_nano.corpus.sources.mediawiki.site import Site
from jarvis_nano.corpus.sources.mediawiki.wikitext import Wikitext
from jarvis_nano.errors import UserError

SENTENCES = [
    line.split("\t")
    for line in (Path(__file__).parent / "sentences.tsv").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("# ")
]


def plain(wikitext: str, **settings: object) -> str:
    return Wikitext(Site(), **settings).text(wikitext, title="Ma page")  # type: ignore[arg-type]


def test_there_are_many_sentences() -> None:
    assert len(SENTENCES) >= 90


@pytest.mark.parametrize(("wikitext", "expected"), SENTENCES, ids=lambda text: text[:40])
def test_a_sentence_reads_as_on_wikipedia(wikitext: str, expected: str) -> None:
    reader = Wikitext(Site())
    assert reader.text(wikitext) == expected
    assert not reader.unknown


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        # paragraphs, lists, headings
        ("Un.\nSuite.\n\nDeux.", "Un. Suite.\n\nDeux."),
        ("Voici :\n* un\n** deux\n* trois\nAprès.", "Voici :\n- un\n  - deux\n- trois\n\nAprès."),
        ("# un\n# deux\n#: note\n# trois\n\n# autre", "1. un\n2. deux\nnote\n3. trois\n\n1. autre"),
        ("; Terme : sens\n: suite", "Terme : sens\nsuite"),
        ("A.\n\n== Titre '''gras''' ==\nB.", "A.\n\nTitre gras\n\nB."),
        ("A.\n== Vide ==\n== Plein ==\n=== Sous ===\nB.", "A.\n\nPlein\n\nSous\n\nB."),
        ("A<br />B<br>\nC\n----\nD", "A\nB\nC\n\nD"),
        ("<poem>\nUn vers\nun autre\n</poem>", "Un vers\nun autre"),
        ("* \n* {{,}}\n* x", "- x"),
        # sections that go, with what lies under them
        ("A.\n== Notes et références ==\nB.\n=== C ===\nD.\n== Suite ==\nE.", "A.\n\nSuite\n\nE."),
        ("A.\n== ''Voir aussi''<ref>x</ref> ==\nB.\n", "A."),
        ("A.\n== Filmographie ==\n* ''Jour de fête''", "A.\n\nFilmographie\n\n- Jour de fête"),
        # tables, boxes, files
        ("A.\n{|\n| x\n{|\n| y\n|}\n|}\nB.", "A.\n\nB."),
        ("A.\n{{{!}} class=x\n{{!}} y\n{{!}}}\nB.", "A.\n\nB."),
        ("{{#if:1|A.\n{{{!}}\n{{!}} y\n{{!}}}}}\n\nB.", "A.\n\nB."),
        ("{{Infobox Ville\n| nom = {{lang|en|X}}\n| carte = [[Fichier:a.png|b]]\n}}\nA.", "A."),
        ("A. <table><tr><td><table><td>x</table>y</table>B.", "A.\n\nB."),
        ("{{Boîte inconnue\n|a=b\n}}\nA.", "A."),
        ("[[Fichier:a.png|thumb|Un [[lien|b]] et {{unité|3|m}}]]\nA.", "A."),
        ("<gallery>\na.png|b\n</gallery>A.", "A."),
        ("{{Colonnes|taille=20|1=\n* a\n* b}}", "- a\n- b"),
        # tags
        ("A<ref name=x>b</ref> c<ref name=x/> d<REF>e</ref >.", "A c d."),
        ("<nowiki>''a'' {{b}} [[c]]</nowiki>", "''a'' {{b}} [[c]]"),
        ("<pre>\n a  b\n  {{c}}\n</pre>", "a  b\n  {{c}}"),
        ("Le code <source lang=c inline>a[[0]]</source>.", "Le code a[[0]]."),
        ("A.\n<syntaxhighlight lang=c>\nint a;\n</syntaxhighlight>\nB.", "A.\n\nB."),
        ("a <inconnu> b < c, x<y et y>z", "a <inconnu> b < c, x<y et y>z"),
        ("A<includeonly>B</includeonly><noinclude>C</noinclude><onlyinclude>D</onlyinclude>", "ACD"),
        ("A <span style=\"display: none\">001</span>B", "A B"),
        ("<math display='block'>\n a \\\\\n b</math>", "$a \\\\ b$"),
        ("A <!-- b -->c.\n<!-- d -->\ne <!-- f", "A c. e"),
        ("<ruby>東<rp>(</rp><rt>tō</rt><rp>)</rp></ruby>", "東 (tō)"),
        ("a\x10\x01b\x00c\r\nd", "abc d"),
        # links
        ("[[A|b|c]] [[A#B]] [[#C]] [[A (b)|]] [[:de:Wort]] [[de:Wort]]", "b|c A C A Wort"),
        ("[[Catégorie:A]]\n[[en:B]]\nC", "C"),
        ("[[Star Wars: un nouvel espoir]], [[Aide:A|b]]", "Star Wars: un nouvel espoir, b"),
        ("[[image:a.png|[[b]]]]A [http://a.b] B [//c.d e [f] g] http://h.i", "A B e [f] g http://h.i"),
        # parameters, parser functions, magic words
        ("{{{1|défaut}}} {{{2}}} {{{a|{{nobr|b}}}}}", "défaut b"),
        ("{{PAGENAME}} {{lcfirst:A}} {{#switch: b|a=1|b|c=2|#default=3}} {{#switch:z|a=1|3}}", "Ma page a 2 3"),
        ("{{DEFAULTSORT:a}}{{CLÉDETRI:b}}__NOTOC__ ~~~~ A {{formatnum:1234.5|R}}", "A 1234.5"),
        ("{{#tag:ref|x}}A {{modèle:nobr|b}} {{Template:nobr_|c}} {{ subst:nobr | d }}", "A b c d"),
        ("-{zh-hans:a;zh-hant:b}- -{c}-", "a c"),
        # what cannot be known takes its sentence along, not the next
        ("Un fait. La ville a {{Population de France/dernière_pop}} âmes. Elle dort.", "Un fait. Elle dort."),
        ("Un fait. Nous sommes en {{CURRENTYEAR}}. Fin.", "Un fait. Fin."),
        # what removals leave
        ("Paris ( , ; ) dort", "Paris dort"),
        ("Paris ({{audio|x}}, née ici) , dort .", "Paris (née ici), dort."),
        ("La fonction f() vaut .5 et , là ; ici : oui !", "La fonction f() vaut .5 et, là ; ici : oui !"),
        ("En 44 {{av JC}}.", "En 44 av. J.-C."),
        ("« {{lang|en}} » et {{citation|}} fin", "et fin"),
        ("'''Types : ''' ( ''a'' ) et ''b '', '''c''' .", "Types : (a) et b, c."),
        # entities
        ("&eacute;&#233;&#xe9; &lt;b&gt; &amp;eacute; &inconnue; R&D&nbsp;: &#xD800;&#0;&#150;",
         "ééé <b> &eacute; &inconnue; R&D : –"),
        ("&#39;&#39;a&#39;&#39;", "a"),
        ("\ufeffa\xadb\u200b\xa0: 5\u202f% <nowiki>c\xa0d</nowiki>", "ab : 5 % c d"),
    ],
)  # fmt: skip
def test_markup(wikitext: str, expected: str) -> None:
    assert plain(wikitext) == expected


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("Un {{citation|texte sans fin.\n\nLa suite.", "Un texte sans fin.\n\nLa suite."),
        ("Un [[lien|texte sans fin.\n\nLa suite.", "Un texte sans fin.\n\nLa suite."),
        ("Un [[lien.\n\nLa [[suite]].", "Un lien.\n\nLa suite."),
        ("{{Infobox\n| a = [[b\n| c = d\n}}\nLe texte.", "Le texte."),
        ("{{Infobox\n| a = b\n\nLe texte.", "Infobox\n\nLe texte."),
        ("{| class=x\n|-\n| a\nLe texte.\n\nLa suite.", "Le texte.\n\nLa suite."),
        ("Un<ref>note. La suite.", "Unnote. La suite."),
        ("Un<ref>a<ref name=b>note</ref>. La suite.", "Una. La suite."),
        ("Un <math>x. La suite.", "Un x. La suite."),
        ("Un ''mot et '''deux. \nLa suite.", "Un mot et 'deux. La suite."),
        ("Un }} deux ]] trois |} quatre.", "Un deux trois |} quatre."),
        ("{{a [[b}} c]] d", "c d"),
        ("Un {{citation|deux.\n\n== Titre ==\nTrois }} quatre.", "Un deux.\n\nTitre\n\nTrois quatre."),
        ("{|\n| a\n\n== Titre ==\nTrois.\n|}\nQuatre.", "Titre\n\nTrois. Quatre."),
        ("Un <math>x.\n\nDeux <math>y</math>.", "Un x.\n\nDeux $y$."),
        ("Un<ref>x.\n\n== T ==\nDeux<ref>y</ref>.", "Unx.\n\nT\n\nDeux."),
        ("Un <!-- x\n\nDeux.", "Un\n\nDeux."),
        ("[[cible\nsuite]] fin", "cible suite fin"),
        ("[[a [[b]] c", "a b c"),
        ("{{nobr|a}}}} {{{{nobr|b}} c", "a b c"),
    ],
)
def test_broken_markup_loses_no_text(wikitext: str, expected: str) -> None:
    assert plain(wikitext) == expected


def test_an_unknown_template_is_counted_with_an_example() -> None:
    reader = Wikitext(Site())
    sentence = "Le {{Gadget neuf|gros mot}} et {{gadget_neuf|chat}}, sous {{Charles VII}}."
    text = reader.text(sentence + "\n\n{{Autre boîte\n|a=b}}")
    assert text == "Le gros mot et chat, sous Charles VII."
    assert reader.unknown == {"Gadget neuf": 2, "Charles VII": 1}
    assert reader.examples["Gadget neuf"] == "{{Gadget neuf|gros mot}}"


def test_examples_are_short() -> None:
    reader = Wikitext(Site())
    reader.text("Le {{gadget|" + "a\n" * 500 + "}}.")
    assert len(reader.examples["Gadget"]) <= 120
    assert "\n" not in reader.examples["Gadget"]


def test_the_user_s_rules_come_first() -> None:
    rules = {"gadget": "<{1}>[ ({note})]", "unité": "{1} au {2|mètre}", "nobr": ""}
    text = plain("{{Gadget|a|note=b}} {{gadget|c}} {{Unité|3|km}} {{unité|4}} {{nobr|d}}e", rules=rules)
    assert text == "<a> (b) <c> 3 au km 4 au mètre e"
    with pytest.raises(UserError, match="template 'x'"):
        plain("", rules={"x": "{1"})


def test_sections_can_be_kept_and_dropped() -> None:
    text = "A.\n== Sources ==\nB.\n== Filmographie ==\nC."
    assert plain(text, keep_sections=frozenset({"sources"})) == "A.\n\nSources\n\nB.\n\nFilmographie\n\nC."
    assert plain(text, drop_sections=frozenset({"Filmographie"})) == "A.\n\nSources\n\nB."


def test_names_of_namespaces_come_from_the_site() -> None:
    site = Site("de", MappingProxyType({"datei": 6, "kategorie": 14, "vorlage": 10}))
    assert Wikitext(site).text("A[[Datei:x.png|y]] [[Kategorie:B]]{{Vorlage:nobr|c}}") == "A c"


@pytest.mark.parametrize(
    ("wikitext", "target"),
    [
        ("#REDIRECTION [[Paris]]", "Paris"),
        ("\n#redirect: [[Mont_Blanc|x]] {{R}}", "Mont Blanc"),
        ("#WEITERLEITUNG [[:A#B]]", "A#B"),
        ("# [[Paris]]", None),
        ("Voir #REDIRECT [[Paris]]", None),
        ("#REDIRECT Paris", None),
    ],
)
def test_redirects(wikitext: str, target: str | None) -> None:
    reader = Wikitext(Site())
    assert reader.redirect(wikitext) == target
    assert target is None or reader.text(wikitext) == ""


def test_the_reader_pickles_with_its_settings() -> None:
    reader = Wikitext(Site("de"), rules={"x": "[{1}!]"}, keep_sections=frozenset({"Notes"}))
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.site.language == "de"
    assert copy.text("{{x|a}}\n== Notes ==\nb") == "a!\n\nNotes\n\nb"


def test_one_page_leaves_no_trace_in_the_next() -> None:
    reader = Wikitext(Site())
    first = [reader.text(text) for text, _ in SENTENCES]
    assert [reader.text(text) for text, _ in SENTENCES] == first
    assert reader.text("{{PAGENAME}}", title="A") + reader.text("{{PAGENAME}}", title="B") == "AB"


WORDS = (
    "{{ }} {{{ }}} [[ ]] {| |} | = '' ''' '''''       *  #  :  == == <ref> </ref> <ref/> <ref<br> <math> "
    "</math> <nowiki> </nowiki> <!-- --> <table> </table> <poem> </poem> <pre> </pre> {{{!}} {{!}} {{!}}} ( ) "
    ", . [http:// {{nobr| {{unité| {{date| {{citation| {{s| {{#if: {{Infobox| Fichier: Catégorie: && &#39; -{ "
    "}- __ ~~~~ mot 12 Été <sup> </sup> {{lien| {{sp| fr= 1= {{inconnu| {{heure| {{frac| {{racine| {{fchim| "
    "{{japonais|"
)
MARKS = st.sampled_from(WORDS.split() + [" ", "  "])
LEFTOVER = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|''|<ref\b[^<>\n]*>|</ref|[\x01-\x08\x0e-\x10]|^\s|\s$|\n\n\n|^[-*#:;=]+$|^ ?- *$"
)


@settings(max_examples=400, deadline=None)
@given(st.lists(MARKS | st.text(max_size=6), max_size=40))
@example(["{{nobr|", "{", "}}", "{", "a"])
def test_any_nest_of_marks_gives_clean_text(marks: list[str]) -> None:
    wikitext = "".join(marks)
    text = Wikitext(Site()).text(wikitext)
    text.encode()
    if not re.search("<(math|nowiki|pre)|&", wikitext):  # what these keep is meant to be seen
        assert not LEFTOVER.search(text), text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["{{nobr|", "[[a|", "''", "'''", "<small>", "{{citation|"]), max_size=12))
def test_words_survive_sound_nests(opening: list[str]) -> None:
    closing = {"{{nobr|": "}}", "[[a|": "]]", "<small>": "</small>", "{{citation|": "}}"}
    wikitext = "".join(opening) + "un mot" + "".join(closing.get(mark, mark) for mark in reversed(opening))
    assert "un mot" in Wikitext(Site()).text(wikitext)


HOSTILE = (
    "{{", "[[", "{|", "'''", "<ref>", "}}", "]]", "{{{", "\n{|\n", "<math>", "<!--", "=", "\n==", "\n*", "&", "( ",
    ", ", "[http://a ", "[[a|", "{{unité|", "{{x|{{y|", "{{!}}", "{{{!}}\n", "<table>", "<poem>",
    " ", "\n", "1", "-{", "a",
)  # fmt: skip


@pytest.mark.parametrize("mark", HOSTILE)
def test_time_is_linear_in_hostile_input(mark: str) -> None:
    """Eight times the text takes about eight times as long: 20 allows for noise, a quadratic pass would take 64."""

    def seconds(size: int) -> float:
        text = mark * (size // len(mark)) + "\n\nFin."
        best = 9.0
        for _ in range(3):
            reader = Wikitext(Site())
            start = time.process_time()
            reader.text(text)
            best = min(best, time.process_time() - start)
        return best

    small = max(seconds(8_000), 0.002)
    assert seconds(64_000) < 20 * small


@pytest.mark.parametrize(
    ("opening", "closing"), [("{{nobr|", "}}"), ("[[a|", "]]"), ("{{{a|", "}}}"), ("<poem>", "</poem>")]
)
def test_depth_is_bounded(opening: str, closing: str) -> None:
    for depth in (5, 1000, 50_000):
        text = plain(f"Début.\n\n{opening * depth}un mot{closing * depth}\n\nFin.")
        assert text.startswith("Début.")
        assert text.endswith("Fin.")
        assert ("un mot" in text) or depth > 5


@pytest.mark.slow
@pytest.mark.parametrize("mark", HOSTILE)
def test_a_megabyte_of_one_mark_takes_seconds(mark: str) -> None:
    start = time.process_time()
    plain(mark * (1_000_000 // len(mark)))
    assert time.process_time() - start < 8
