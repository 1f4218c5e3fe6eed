"""Each format of a source: told by its content, read as it reads, resumed by its mark. Not damage."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from jarvis_nano.corpus.documents import Document
from jarvis_nano.corpus.sources import Mark, Options, fingerprint, html, read_documents
from jarvis_nano.corpus.sources.mediawiki import dump
from jarvis_nano.corpus.sources.mediawiki.site import Site
from jarvis_nano.corpus.sources.source import Source
from jarvis_nano.corpus.sources.transcriber import clean_marks
from jarvis_nano.errors import UserError

PROSE = "Le vieux moulin tournait encore, et personne n'y venait plus depuis l'hiver de 1847. " * 4


class PlainWikitext:
    """In the place of the true one: the text as it is, so that the tests see what the dump's reader hands over."""

    made: list[tuple[Site, dict[str, str]]] = []  # noqa: RUF012

    def __init__(self, site: Site, *, rules: dict[str, str]) -> None:
        self.made.append((site, rules))
        self.unknown: Counter[str] = Counter()

    def text(self, wikitext: str, title: str = "") -> str:
        self.unknown.update(part.split("}}")[0] for part in wikitext.split("{{")[1:])
        return wikitext

    def redirect(self, wikitext: str) -> str | None:
        return wikitext if wikitext.startswith("#REDIR") else None


@pytest.fixture(autouse=True)
def plain_wikitext(monkeypatch: pytest.MonkeyPatch) -> None:
    PlainWikitext.made.clear()
    monkeypatch.setattr(
        dump, "_wikitext", lambda site, source: PlainWikitext(site, rules=source.options.template_rules)
    )


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def one(path: Path, **options: object) -> str:
    (document,) = read_documents(path, options=Options(**options))  # type: ignore[arg-type]
    return document.text


# MediaWiki


def page(number: int, text: str, *, title: str = "", ns: int = 0, extra: str = "", revision: str = "") -> str:
    return (
        f"  <page>\n    <title>{title or f'Article {number}'}</title>\n    <ns>{ns}</ns>\n"
        f"    <id>{number}</id>\n{extra}"
        f"    <revision>\n      <id>9{number}</id>\n      <model>wikitext</model>\n{revision}"
        f'      <text bytes="9" xml:space="preserve">{text}</text>\n    </revision>\n  </page>\n'
    )


HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="oc">\n  <siteinfo>\n'
    "    <dbname>ocwiki</dbname><namespaces><namespace key='6'>Fichièr</namespace></namespaces>\n  </siteinfo>\n"
)
TAIL = "</mediawiki>\n"


def test_a_dump_gives_its_articles(tmp_path: Path) -> None:
    pages = [
        page(1, "« L'œuvre » &amp; &lt;b&gt;1847&lt;/b&gt;\n\nFin."),
        page(2, "#REDIRECTION [[Article 1]]"),
        page(3, "Autre", extra='    <redirect title="Article 1" />\n'),
        page(4, "Discussion", ns=1),
        page(5, "{{x}} {{y}} {{x}}"),
        page(6, "").replace("></text>", " />"),
        page(7, "code").replace("<model>wikitext", "<model>Scribunto"),
        page(8, "caché").replace("<text ", '<text deleted="deleted" '),
    ]
    path = write(tmp_path / "w.xml", HEAD + "".join(pages) + TAIL)
    documents = read_documents(path, options=Options(template_rules={"x": "y"}))
    found = list(documents)
    assert found[0] == Document("w.xml:1", "Article 1\n\n« L'œuvre » & <b>1847</b>\n\nFin.", "w.xml")
    assert [d.id for d in found] == ["w.xml:1", "w.xml:5"]
    assert documents.passed_over == {"redirect": 2, "namespace": 1, "no text": 1, "model": 1, "deleted": 1}
    assert documents.unknown_templates == {"x": 2, "y": 1}
    ((site, rules),) = PlainWikitext.made
    assert (site.language, site.namespace("Fichièr:a.png"), rules) == ("oc", 6, {"x": "y"})
    assert [d.id for d in read_documents(path, options=Options(namespaces=(1,)))] == ["w.xml:4"]


def test_the_last_of_several_revisions_is_read(tmp_path: Path) -> None:
    old = "      <text>ancien</text>\n    </revision>\n    <revision>\n"
    assert one(write(tmp_path / "w.xml", HEAD + page(1, "nouveau", revision=old) + TAIL)).endswith("nouveau")
    # Nothing of an older revision is left in a newer one: neither its model nor its text.
    revisions = ["<model>Scribunto</model><text>a</text>", "<text>b</text>", "<comment>c</comment>"]
    for n, expected in ((2, ["Article 1\n\nb"]), (3, [])):
        body = "".join(f"<revision>{one}</revision>" for one in revisions[:n])
        path = write(tmp_path / "v.xml", f"{HEAD}<page><title>Article 1</title><ns>0</ns><id>1</id>{body}</page>{TAIL}")
        found = [document.text for document in read_documents(path, on_damage=lambda damage: None)]
        assert found == expected


@pytest.mark.parametrize("before", ["", "\ufeff", "<?xml version='1.0'?>\n", "<!-- <page> de garde -->\n", "\n\n"])
def test_what_may_stand_before_a_dump(tmp_path: Path, before: str) -> None:
    assert one(write(tmp_path / "donnees", before + HEAD + page(1, "Texte") + TAIL)).endswith("Texte")


@pytest.mark.parametrize("chunk", [7, 64, 1000])
def test_a_multistream_dump_in_any_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    pages = [page(i, f"Texte {i} " * i) for i in range(1, 30)]
    members = [HEAD, "".join(pages[:9]), "".join(pages[9:20]), "".join(pages[20:]), TAIL]
    data = b"".join(bz2.compress(member.encode()) for member in members)
    monkeypatch.setattr(dump, "_CHUNK", chunk)
    found = list(read_documents(write(tmp_path / "frwiki-pages-articles1.xml-p1p30.bz2", data)))
    assert [d.text.split("\n\n")[1] for d in found] == [f"{f'Texte {i} ' * i}".strip() for i in range(1, 30)]


def test_a_part_of_a_dump_is_read_with_its_site() -> None:
    part = (page(1, "Un") + page(2, "Deux"))[9:]  # begins within a tag of the page before
    source = Source("w", "w.xml")
    assert [d.id for d in dump.read_dump(io.BytesIO(part.encode()), source, Site())] == ["w:2"]
    assert source.mark.documents == 1


def test_the_sample_of_french_wikipedia_comes_out_whole(shared_data: Path) -> None:
    path = shared_data / "wiki/frwiki-sample-pages-articles-multistream.xml.bz2"
    documents = read_documents(path)
    start = time.process_time()
    found = list(documents)
    spent = time.process_time() - start
    assert len(found) == 33
    assert documents.passed_over == {"redirect": 1}
    assert sum(len(d.utf8) for d in found) > 2_000_000
    # Unpacking bzip2 is nearly all of it.
    plain = bz2.decompress(path.read_bytes())
    start = time.process_time()
    assert len(list(dump.read_dump(io.BytesIO(plain), Source("w", "w")))) == 33
    assert time.process_time() - start < max(0.5 * spent, 0.5)


def test_the_index_of_a_multistream_dump_is_no_text(tmp_path: Path) -> None:
    index = bz2.compress(b"597:10:Accueil\n597:11:Paris\n1023:12:Lyon : ville\n9999:13:Brest\n")
    path = write(tmp_path / "d" / "frwiki-pages-articles-multistream-index.txt.bz2", index)
    with pytest.raises(UserError, match="index of a multistream dump"):
        list(read_documents(path))
    write(tmp_path / "d" / "w.xml", HEAD + page(1, "Texte") + TAIL)
    documents = read_documents(tmp_path / "d")
    assert len(list(documents)) == 1
    assert documents.not_taken == {".txt": 1}


# Transcripts

TRS = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE Trans SYSTEM "trans-14.dtd">
<Trans scribe="x" version="1">
<Topics><Topic id="to1" desc="météo"/></Topics>
<Speakers>
<Speaker id="spk1" name="Hélène  Forêt" check="no"/>
<Speaker id="spk2" name="Rémi"/>
</Speakers>
<Episode>
<Section type="nontrans" startTime="0" endTime="2"><Turn endTime="2"><Sync time="0"/>jingle</Turn></Section>
<Section type="report" startTime="2" endTime="30">
<Turn speaker="spk1" startTime="2" endTime="9"><Sync time="2"/>
Bonjour à tous, il est<Event desc="rire" type="noise" extent="instantaneous"/>
<Sync time="4"/><Background time="5" type="music" level="high"/>
8 heures.
</Turn>
<Turn speaker="spk1" startTime="9" endTime="12"><Sync time="9"/>Voici Rémi.<Comment desc="à revoir"/></Turn>
<Turn speaker="spk2 spk1" startTime="12" endTime="15">
<Sync time="12"/><Who nb="1"/>Merci Hélène !<Who nb="2"/>Je vous <Event desc="bb" type="noise" extent="begin"/>en prie.
</Turn>
</Section>
<Section type="report"><Turn startTime="15" endTime="20"><Sync time="15"/>Il fait beau.</Turn></Section>
</Episode>
</Trans>
"""


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "windows-1252", "UTF-16"])
def test_a_transcriber_file_reads_as_a_dialogue(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.trs", TRS.format(encoding=encoding).encode(encoding))
    assert one(path) == (
        "Hélène Forêt : Bonjour à tous, il est 8 heures. Voici Rémi.\nRémi : Merci Hélène !\n"
        "Hélène Forêt : Je vous en prie.\n\nIl fait beau."
    )
    assert one(path, speakers="dashes", keep_events=True) == (
        "— Bonjour à tous, il est [rire] 8 heures. Voici Rémi.\n— Merci Hélène !\n"
        "— Je vous [bb] en prie.\n\nIl fait beau."
    )
    assert one(path, speakers="none").startswith("Bonjour à tous, il est 8 heures. Voici Rémi.\nMerci")


def test_lines_with_speakers_tags_are_a_transcript(tmp_path: Path) -> None:
    text = "spk1: Bonjour [NOISE] à tous\nspk2 : [rire] Oui, en 1998\n  et encore\n\n<spk1>: Ah ! [Note de 3 pages]\n"
    path = write(tmp_path / "a.txt", text)
    assert one(path) == "spk1 : Bonjour à tous\nspk2 : Oui, en 1998 et encore\n\nspk1 : Ah ! [Note de 3 pages]"
    assert one(path, speakers="dashes").startswith("— Bonjour à tous\n— Oui")
    assert one(path, speakers="none", keep_events=True).startswith("Bonjour [NOISE] à tous\n[rire]")
    play = "Don Juan : Que dis-tu ?\nSganarelle : Rien.\nDon Juan : Bien.\n"
    assert one(write(tmp_path / "play.txt", play)) == play.strip()


def test_marks_of_noise_go_and_words_in_brackets_stay() -> None:
    assert clean_marks("a [NOISE] b [bruit] c <unk> d [sic] e [12] f [Paris] g") == "a b c d [sic] e [12] f [Paris] g"


# Word


def docx(body: str, *, extra: dict[str, bytes] | None = None, name: str = "word/document.xml") -> bytes:
    xml = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:document '
        'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<w:body>{body}</w:body></w:document>"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(name, xml)
        for key, value in (extra or {}).items():
            archive.writestr(key, value)
    return packed.getvalue()


def paragraph(*runs: str) -> str:
    return "<w:p>" + "".join(f"<w:r><w:t xml:space='preserve'>{run}</w:t></w:r>" for run in runs) + "</w:p>"


def test_a_word_document_gives_its_paragraphs(tmp_path: Path) -> None:
    cell = "<w:tc><w:tcPr/>{}</w:tc>".format
    ville, year, brest = (cell(paragraph(one)) for one in ("Ville", "1847", "Brest"))
    table = f"<w:tbl><w:tr>{ville}{year}</w:tr><w:tr>{brest}</w:tr></w:tbl>"
    body = (
        paragraph("L'œuvre", " commença le ", "3 mars.")
        + "<w:p><w:pPr><w:tabs><w:tab w:val='left'/></w:tabs></w:pPr><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/></w:r>"
        "<w:r><w:t>peut</w:t><w:noBreakHyphen/><w:t>être</w:t><w:footnoteReference w:id='1'/></w:r></w:p><w:p/>"
        + "<w:p><w:del><w:r><w:t>effacé</w:t><w:delText>effacé</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>gardé</w:t></w:r></w:ins>"
        "<mc:AlternateContent><mc:Choice><w:r><w:t> une fois</w:t></w:r></mc:Choice>"
        "<mc:Fallback><w:r><w:t>deux</w:t></w:r>"
        "</mc:Fallback></mc:AlternateContent><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        + table
        + paragraph("Fin.")
    )
    path = write(tmp_path / "a.docx", docx(body, extra={"word/footnotes.xml": b"<x>note</x>"}))
    expected = "L'œuvre commença le 3 mars.\n\na\tb\npeut-être\n\ngardé une fois\n\nVille\t1847\nBrest\n\nFin."
    assert one(path) == expected
    assert one(write(tmp_path / "b.docx.gz", gzip.compress(path.read_bytes()))) == expected


def test_a_transcript_in_a_word_document_is_read_as_such(tmp_path: Path) -> None:
    lines = TRS.format(encoding="UTF-8").replace("&", "&amp;").replace("<", "&lt;").splitlines()
    body = "".join(map(paragraph, lines))
    expected = one(write(tmp_path / "a.trs", TRS.format(encoding="UTF-8")))
    assert one(write(tmp_path / "a.docx", docx(body))) == expected
    curled = "".join(paragraph(line.replace('="', "=« ").replace('"', " »")) for line in lines)
    assert one(write(tmp_path / "b.docx", docx(curled))) == expected
    tagged = "".join(map(paragraph, ["spk1: Bonjour [NOISE]", "spk2: Oui", "spk1: Bien"]))
    assert one(write(tmp_path / "c.docx", docx(tagged))) == "spk1 : Bonjour\nspk2 : Oui\nspk1 : Bien"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("content.xml", "OpenDocument"),
        ("META-INF/container.xml", "EPUB"),
        ("xl/workbook.xml", "Excel"),
        ("a.txt", "zip archive"),
    ],
)
def test_other_zips_are_named(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        list(read_documents(write(tmp_path / "a.zip", docx("", name=name))))


# HTML

PAGE = f"""<!DOCTYPE html><html lang=fr><head><meta charset="utf-8"><title>Site</title><style>p {{ x: "<p>" }}</style>
<body class="a b hidden-xs {"x " * 150} hidden md:flex">
<header><a href=/>Accueil</a></header><nav><ul><li>Menu</ul></nav>
<article><h1>Le moulin&nbsp;!</h1><p>{PROSE}<br>D&eacute;j&agrave;&#8239;? &#99999999999999; 3 &lt; 4.
<p>Second<script>if (a < b) document.write("<p>non</p>")</script> paragraphe, <b>peut</b>-être.
<ul><li>Un<li><p>Deux</p></ul><pre>a  b
  c</pre><table><tr><td>Ville<td>1847<tr><td>Brest<td>12</table><form><button>Envoyer</button></form>
<aside>Publicité</aside></article><footer>Mentions</footer></html>"""


def test_a_page_gives_its_main_content(tmp_path: Path) -> None:
    parts = one(write(tmp_path / "page.txt", PAGE)).split("\n\n")
    assert parts == [
        "Le moulin\u00a0!",
        f"{PROSE.strip()}\nDéjà\u202f? \ufffd 3 < 4.",
        "Second paragraphe, peut-être.",
        "- Un\n- Deux",
        "a  b\n  c",
        "Ville\t1847\nBrest\t12",
    ]


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", ""),
        ("cp1252", ""),
        ("iso-8859-1", "<meta http-equiv='Content-Type' content='text/html; charset=iso-8859-1'>"),
        ("iso-8859-15", '<meta charset="ISO-8859-15">'),
        ("utf-16", "<meta charset=utf-16>"),
    ],
)
def test_the_encoding_of_a_page(tmp_path: Path, encoding: str, head: str) -> None:
    text = f"<html><head>{head}</head><body><p>Déjà l'été à Orléans.</p></body></html>"
    assert one(write(tmp_path / "a.html", text.encode(encoding))) == "Déjà l'été à Orléans."


def test_a_page_without_a_main_element_loses_lone_links_and_forms() -> None:
    body = f"<div><a href=1>Suivant</a></div><p>{PROSE}</p><form><p>Votre nom</p></form><p>Voir <a>ceci</a> encore.</p>"
    assert html.page_text(body) == f"{PROSE.strip()}\n\nVoir ceci encore."
    assert html.page_text(f"<form><h2>Titre</h2><p>{PROSE}</p></form>") == f"Titre\n\n{PROSE.strip()}"


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "<a",
        "<a ",
        "<a b='",
        "<!--",
        "<![CDATA[",
        "</",
        "&",
        "&#",
        "<p>",
        "</p>",
        "<pre>",
        '="',
        "<title>",
        "a",
        " ",
        "<a hidden",
        "<?",
    ],
)
def test_markup_of_a_million_signs_takes_no_time(unit: str) -> None:
    start = time.process_time()
    html.page_text("<p>Un</p>" + unit * (200_000 // len(unit)) + "<p>Deux</p>")
    assert time.process_time() - start < 5


# Tables

ROWS = [
    ("a", "Déjà, l'été.\n\n« Oui », dit-il.", "moi"),
    ("b", 'Il dit "non" ; 3,14', ""),
    ("c", "Fin\tdu texte|", "toi"),
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.csv", "donnees"])
def test_a_table_is_read_whatever_its_dialect(tmp_path: Path, delimiter: str, end: str, name: str) -> None:
    import csv

    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerows([("id", "texte", "source"), *ROWS])
    path = write(tmp_path / name, "\ufeff" + file.getvalue())
    expected = [Document(i, text, source or name) for i, text, source in ROWS]
    assert list(read_documents(path)) == expected
    documents = read_documents(path)
    next(documents)
    resumed = read_documents(path)
    resumed.start_at(Mark(**vars(documents.mark)))
    assert list(resumed) == expected[1:]


def test_the_text_column_is_chosen_or_named_in_the_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "titre,corps du texte\nUn,Texte un\nDeux,Texte deux\n")
    with pytest.raises(UserError, match=r'no column "text" \(its columns: titre, corps du texte\)'):
        list(read_documents(path))
    found = list(read_documents(path, options=Options(text_column="corps du texte")))
    assert [(d.id, d.text) for d in found] == [("a.csv:2", "Texte un"), ("a.csv:3", "Texte deux")]
    single = write(tmp_path / "b.csv", 'text\nUn seul, sans guillemets\n"Deux, avec"\n')
    assert [d.text for d in read_documents(single)] == ["Un seul, sans guillemets", "Deux, avec"]
    with pytest.raises(UserError, match="line 2 has 1 fields where the header has 2"):
        list(read_documents(write(tmp_path / "c.csv", "text,x\na\n")))


def test_quotes_within_a_field_open_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,un 5" de large\n2,deux\n')
    assert [d.text for d in read_documents(path)] == ['un 5" de large', "deux"]


def test_parquet_is_read_by_row_groups(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(
        {"n": range(300), "content": [f"Texte {i}" if i % 10 else None for i in range(300)], "id": range(300)}
    )
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=70)
    path = tmp_path / "a.parquet"
    documents = read_documents(path)
    found = list(documents)
    assert [d.text for d in found] == [f"Texte {i}" for i in range(300) if i % 10]
    assert documents.passed_over == {"no text": 30}
    assert found[0].id == "1"
    assert list(read_documents(write(tmp_path / "b.gz", gzip.compress(path.read_bytes())))) == [
        Document(d.id, d.text, "b.gz") for d in found
    ]
    with pytest.raises(UserError, match=r"its columns: n, content, id"):
        list(read_documents(path, options=Options(text_column="texte")))
    with pytest.raises(UserError, match="holds int64 in its column"):
        list(read_documents(path, options=Options(text_column="n")))


def test_a_column_of_json_lines_may_lie_within_an_object(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"data": {"body": "Un."}}\n{"data.body": "Deux."}\n')
    assert [d.text for d in read_documents(path, options=Options(text_column="data.body"))] == ["Un.", "Deux."]


# What a file is


@pytest.mark.parametrize(
    "text",
    [
        "< Ô temps ! suspends ton vol >, dit le poète.\nEt vous, heures propices…",
        "<Prologue>\nLe rideau se lève.",
        "<p>\nest la première balise, dit le manuel.",
        "{ Ici commence un cahier }\nPuis rien.",
        '{"guillemets" sans suite\nPuis rien.',
        "[1] Une note.\n[2] Une autre.",
        "Un, deux, trois\nQuatre, cinq, six\nSept, huit, neuf\nDix, onze, douze\n",
        "12:30:Le train part.\nEt voilà.",
        "text, dit-il\net rien\nd'autre",
    ],
)
def test_a_plain_text_that_looks_like_something_else_stays_one(tmp_path: Path, text: str) -> None:
    assert one(write(tmp_path / "a.txt", text)) == text.strip()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"text": "Un."}\n', "Un."),
        ('{"id": "' + "x" * 70_000 + '", "text": "Un."}\n', "Un."),
        ("<html><body><p>Un.</p></body></html>", "Un."),
        ("<!-- vu --><!DOCTYPE html>\n<html><p>Un.", "Un."),
        ("<div><p>Un.</p><p>Deux.</p></div>", "Un.\n\nDeux."),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a", "a.md"])
def test_content_tells_what_a_name_does_not(tmp_path: Path, name: str, data: str, expected: str) -> None:
    assert one(write(tmp_path / name, data)) == expected


FILES: dict[str, Callable[[], bytes]] = {
    "dump": lambda: (HEAD + "".join(page(i, f"Texte {i}") for i in range(1, 9)) + TAIL).encode(),
    "jsonl": lambda: "".join(json.dumps({"text": f"Texte {i}"}) + "\n" for i in range(8)).encode(),
    "csv": lambda: ("id,text\n" + "".join(f"{i},Texte {i}\n" for i in range(8))).encode(),
    "txt": lambda: "\n\n\n".join(f"Texte {i}" for i in range(8)).encode(),
    "trs": lambda: TRS.format(encoding="UTF-8").encode(),
    "html": lambda: PAGE.encode(),
    "docx": lambda: docx(paragraph("Texte")),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_format_comes_through_a_pipe_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    data = FILES[kind]()
    path = write(tmp_path / "stdin", data)
    expected = list(read_documents(path))
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(lzma.compress(data))))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(read_documents("-")) == expected
    marks = [Mark()]
    documents = read_documents([path, path])
    assert documents.identity
    marks += [Mark(**vars(documents.mark)) for _ in documents]
    for n, mark in enumerate(marks):
        rest = read_documents([path, path])
        rest.start_at(mark)
        assert list(rest) == (expected + expected)[n:], n


def test_options_can_be_pickled_and_change_the_fingerprint(tmp_path: Path) -> None:
    options = Options(text_column="corps", template_rules={"s": "{1}"}, namespaces=(0, 100))
    assert pickle.loads(pickle.dumps(options)) == options
    path = write(tmp_path / "a.txt", "Un.")
    assert fingerprint(path) == fingerprint(path, Options())
    assert len({fingerprint(path, one) for one in (options, Options(), Options(speakers="none"))}) == 3


def test_a_folder_takes_what_can_be_read_and_counts_the_rest(tmp_path: Path) -> None:
    for name in ("a.txt", "b.JSONL", "c.html.xz", "d.pdf", "e.pdf", "f.md", "sub/g.png", "LISEZMOI"):
        data = {"b.JSONL": b'{"text": "B"}', "c.html.xz": lzma.compress(b"<html><p>C</p></html>")}.get(name, b"A")
        write(tmp_path / "d" / name, data)
    documents = read_documents(tmp_path / "d")
    assert [d.text for d in documents] == ["A", "B", "C"]
    assert documents.not_taken == {".pdf": 2, ".md": 1, ".png": 1, "LISEZMOI": 1}
