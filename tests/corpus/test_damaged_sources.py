"""Hostile and damaged files: an error with its place in strict mode; skipped, told and bounded in tolerant mode."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import resource
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import zstandard
from test_formats import HEAD, PAGE, TAIL, TRS, docx, page, paragraph, plain_wikitext, write

from jarvis_nano.corpus.sources import Damage, html, jsonl, read_documents, tabular, text, xml_events
from jarvis_nano.corpus.sources import docx as docx_module
from jarvis_nano.corpus.sources.mediawiki import dump
from jarvis_nano.errors import UserError

_ = plain_wikitext  # the fixture of test_formats, for these tests too
PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".xz": lzma.compress,
}
BILLION_LAUGHS = (
    '<!DOCTYPE {0} [<!ENTITY a "ha ha ha ha">'
    + "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi"))
    + "]>"
)


def tolerant(*paths: Path | str) -> tuple[list[str], list[Damage]]:
    found: list[Damage] = []
    texts = [document.text for document in read_documents(paths, on_damage=found.append)]
    return texts, found


def strict(*paths: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(read_documents(paths))
    message = str(caught.value)
    assert "\n" not in message
    assert str(paths[0]) in message
    return message


def test_damaged_lines_are_skipped_and_named(tmp_path: Path) -> None:
    lines = [
        '{"text": "Un."}',
        '{"text": "De',
        "[3]",
        '{"texte": "Quatre."}',
        '{"text": "\\ud800"}',
        '{"text": "Six."}',
    ]
    data = "\n".join(lines).encode() + b'\n{"text": "\xe9t\xe9"}\n' + b'{"text": "Huit."}\n' + b"[" * 100_000
    path = write(tmp_path / "a.jsonl", data)
    texts, found = tolerant(path)
    assert texts == ["Un.", "Six.", "Huit."]
    assert [damage.where for damage in found] == [f"line {n}" for n in (2, 3, 4, 5, 7, 9)]
    assert str(found[0]).startswith(f"{path}, line 2 is not JSON")
    assert strict(path) == str(found[0])


@pytest.mark.parametrize("packed", [False, True])
def test_an_endless_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE", 1 << 16)
    data = b'{"text": "Un."}\n{"text": "' + b"a" * (48 << 20) + b'"}\n{"text": "Trois."}\n' + b" " * (1 << 17)
    path = write(tmp_path / "a.jsonl", gzip.compress(data) if packed else data)
    tracemalloc.start()
    texts, found = tolerant(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts == ["Un.", "Trois."]
    assert [damage.where for damage in found] == ["line 2", "line 4"]
    assert peak < (24 << 20 if packed else 2 << 20)  # packed: 4 KiB of a thousand times their size


def test_bad_bytes_cost_a_text_their_paragraph(tmp_path: Path) -> None:
    good = "Déjà l'été.\n\nLigne un\nligne deux."
    data = good.encode() + b"\n\nMauvais \xe9t\xe9.\n\nNul\0.\n\nFin.\n\n\n\xff\n\n\nAutre."
    path = write(tmp_path / "a.txt", data)
    texts, found = tolerant(path)
    assert texts == [f"{good}\n\nFin.", "Autre."]
    assert [damage.where for damage in found] == [f"document {n}, paragraph {k}:" for n, k in ((0, 3), (0, 4), (1, 1))]
    assert "byte 0xe9 at offset 47" in strict(path)


def test_in_a_text_without_paragraphs_they_cost_a_line(tmp_path: Path) -> None:
    lines = [f"Ligne {i} de l'été, assez longue pour le test.".encode() for i in range(300)]
    lines[150] += b"\xff"
    texts, found = tolerant(write(tmp_path / "a.txt", b"\n".join(lines)))
    assert texts == [b"\n".join(lines[:150] + lines[151:]).decode()]
    assert len(found) == 1


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_another_encoding_is_one_damage_with_its_cure(tmp_path: Path, name: str, encoding: str) -> None:
    body = "Déjà l'été, à Orléans, où l'œuvre s'achève."
    rows = {"a.txt": body, "a.jsonl": json.dumps({"text": body * 9}, ensure_ascii=False), "a.csv": f"id,text\n1,{body}"}
    path = write(tmp_path / name, "\n".join([rows[name]] * 20).encode(encoding))
    texts, found = tolerant(path)
    assert (texts, len(found)) == ([], 1)
    assert f"iconv -f {'utf-16' if encoding == 'utf-16' else 'latin1'} -t utf8" in str(found[0])
    assert "iconv -f" in strict(path)


def test_a_dump_in_utf16_is_one_damage(tmp_path: Path) -> None:
    path = write(
        tmp_path / "w.xml", ("<?xml version='1.0' encoding='UTF-16'?>" + HEAD + page(1, "Un") + TAIL).encode("utf-16")
    )
    texts, found = tolerant(path)
    assert (texts, len(found)) == ([], 1)
    assert "iconv -f utf-16 -t utf8" in strict(path)


@pytest.mark.parametrize("suffix", PACK)
def test_of_a_packed_file_cut_short_what_came_before_is_read(tmp_path: Path, suffix: str) -> None:
    rng = random.Random(1)
    lines = [json.dumps({"text": f"Texte {rng.getrandbits(400)}"}) for _ in range(9000)]
    packed = PACK[suffix](("\n".join(lines) + "\n").encode())
    path = write(tmp_path / f"a.jsonl{suffix}", packed[: len(packed) * 9 // 10])
    texts, found = tolerant(path, write(tmp_path / "b.txt", "Suite."))
    assert texts[:-1] == [json.loads(line)["text"] for line in lines[: len(texts) - 1]]
    assert texts[-1] == "Suite."
    assert len(texts) > 2000
    assert "it ends in the middle" in found[0].why
    assert "it ends in the middle" in strict(path)


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_dump_cut_within_a_member_and_between_members(tmp_path: Path, kept: float) -> None:
    rng = random.Random(2)
    pages = [page(i, "".join(rng.choices("abcdefgh éà\n", k=3000))) for i in range(1, 40)]
    members = [bz2.compress(part.encode()) for part in (HEAD, "".join(pages[:20]), "".join(pages[20:]) + TAIL)]
    whole, _ = tolerant(write(tmp_path / "w.xml.bz2", b"".join(members)))
    assert len(whole) == 39

    between = write(tmp_path / "between.xml.bz2", members[0] + members[1])
    texts, found = tolerant(between)
    assert texts == whole[:20]
    assert [str(one) for one in found] == [
        f"{between} ends after page 20 without </mediawiki>: it was cut short; fetch it again"
    ]
    assert "cut short" in strict(between)

    within = write(tmp_path / "within.xml.bz2", members[0] + members[1] + members[2][: int(len(members[2]) * kept)])
    texts, found = tolerant(within)
    assert texts == whole[: len(texts)]
    assert len(texts) >= 20
    assert "it ends in the middle" in found[0].why


def test_a_broken_page_costs_one_page(tmp_path: Path) -> None:
    pages = [
        page(1, "Un"),
        page(2, "deux &nbsp; trois"),  # an entity that XML does not know
        page(3, "<b>gras").replace("</text>", "</txet>"),
        page(4, "Quatre").replace("  </page>\n", ""),
        page(5, "Cinq"),
        page(6, "Six \x01"),
        page(7, "Sept").replace("<id>7</id>", ""),
        page(8, "Huit"),
    ]
    data = (
        (HEAD + "".join(pages)).encode() + page(9, "Neuf X").encode().replace(b"X", b"\xe9") + page(10, "Dix").encode()
    )
    path = write(tmp_path / "w.xml", data + TAIL.encode())
    texts, found = tolerant(path)
    assert [one[-4:] for one in texts] == ["\n\nUn", "Cinq", "Huit", "\nDix"]
    assert [damage.where for damage in found] == [f"page {n}" for n in (2, 3, 4, 6, 7, 9)]
    assert "page 2 is broken XML: undefined entity" in strict(path)


def test_an_endless_page_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "MAX_PAGE", 1 << 16)
    monkeypatch.setattr(dump, "_CHUNK", 1 << 12)
    pages = [page(1, "Un"), page(2, "a" * (4 << 20)), page(3, "Trois"), page(4, "b" * (1 << 16)), page(5, "Cinq")]
    path = write(tmp_path / "w.xml", HEAD + "".join(pages) + TAIL)
    tracemalloc.start()
    texts, found = tolerant(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.split()[-1] for one in texts] == ["Un", "Trois", "Cinq"]
    assert [str(one)[len(str(path)) :] for one in found] == [
        ", page 2 is longer than 0 MiB",
        ", page 4 is longer than 0 MiB",
    ]
    assert peak < 2 << 20


def test_deep_xml_is_refused(tmp_path: Path) -> None:
    deep = "<a>" * 100_000
    texts, found = tolerant(write(tmp_path / "w.xml", HEAD + page(1, deep) + page(2, "Deux") + TAIL))
    assert texts == ["Article 2\n\nDeux"]
    assert "nested deeper" in found[0].why
    trs = TRS.format(encoding="UTF-8").replace("Il fait beau.", deep)
    texts, found = tolerant(write(tmp_path / "a.trs", trs))
    assert "nested deeper" in found[0].why
    assert texts[0].startswith("Hélène")


def test_bombs_of_entities_are_not_expanded(tmp_path: Path) -> None:
    body = HEAD + page(1, "&i;") + page(2, "Deux") + TAIL
    texts, found = tolerant(
        write(tmp_path / "w.xml", "<?xml version='1.0'?>" + BILLION_LAUGHS.format("mediawiki") + body)
    )
    assert texts == ["Article 2\n\nDeux"]
    assert "undefined entity" in found[0].why

    trs = TRS.format(encoding="UTF-8").replace('<!DOCTYPE Trans SYSTEM "trans-14.dtd">', BILLION_LAUGHS.format("Trans"))
    path = write(tmp_path / "a.trs", trs.replace("Il fait beau", "&i;"))
    texts, found = tolerant(path)
    assert texts == []
    assert "declares the entity a" in found[0].why
    assert "declares the entity a" in strict(path)

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", BILLION_LAUGHS.format("x") + "<x>&i;</x>")
    texts, found = tolerant(write(tmp_path / "a.docx", packed.getvalue()))
    assert texts == []
    assert "declares the entity a" in found[0].why

    siteinfo = HEAD.replace("<dbname>ocwiki", "<dbname>&i;")
    texts, found = tolerant(
        write(tmp_path / "v.xml", BILLION_LAUGHS.format("mediawiki") + siteinfo + page(1, "Un") + TAIL)
    )
    assert texts == ["Article 1\n\nUn"]
    assert "<siteinfo>" in found[0].why


def test_external_files_are_not_fetched(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "secret")
    doctype = f'<!DOCTYPE Trans SYSTEM "file://{secret}" [<!ENTITY % p SYSTEM "file://{secret}">%p;]>'
    trs = TRS.format(encoding="UTF-8").replace('<!DOCTYPE Trans SYSTEM "trans-14.dtd">', doctype)
    texts, found = tolerant(write(tmp_path / "a.trs", trs))
    assert texts == []
    assert "declares the entity p" in found[0].why


def test_an_endless_tag_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_events, "MAX_TOKEN", 1 << 16)
    trs = TRS.format(encoding="UTF-8").replace("Il fait beau.", "<!--" + "a" * (4 << 20))
    texts, found = tolerant(write(tmp_path / "a.trs", trs))
    assert texts[0].startswith("Hélène")
    assert "longer than" in found[0].why


def test_a_transcript_cut_short_gives_what_came_before(tmp_path: Path) -> None:
    trs = TRS.format(encoding="UTF-8")
    path = write(tmp_path / "a.trs", trs[: trs.index("Je vous")])
    texts, found = tolerant(path)
    assert texts[0].endswith("Rémi : Merci Hélène !")
    assert "broken XML" in found[0].why
    assert "broken XML" in strict(path)
    bad = write(tmp_path / "b.trs", trs.encode("cp1252"))
    assert "not well-formed" in strict(bad)
    assert "encoding" in strict(write(tmp_path / "c.trs", trs.replace('"UTF-8"', '"klingon"')))


def test_what_is_no_word_document(tmp_path: Path) -> None:
    good = docx(paragraph("Texte"))
    cases = {
        "text.docx": (b"PK\x03\x04 this is no zip", "no zip file"),
        "cut.docx": (good[: len(good) // 2], "no zip file"),
        "empty.docx": (docx(""), "holds no text"),
        "broken.docx": (docx("<w:p>"), "broken: mismatched tag"),
    }
    changed = bytearray(good)
    changed[good.index(b"word/document.xml") + 60] ^= 0xFF
    cases["changed.docx"] = (bytes(changed), "a.*|no zip|broken")
    for name, (data, expected) in cases.items():
        path = write(tmp_path / name, data)
        texts, found = tolerant(path, write(tmp_path / "b.txt", "Suite."))
        assert texts[-1] == "Suite."
        assert len(texts) == 1
        assert found
        assert name == "changed.docx" or expected in str(found[0])
        strict(path)
    # A plain text that is named .docx is read as what it is.
    assert tolerant(write(tmp_path / "plain.docx", "{}"))[1][0].why.startswith("is no zip file")


def test_a_zip_bomb_is_left_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.docx", docx(paragraph("Début.") + paragraph("a" * (40 << 20))))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(text, "MAX_DOCUMENT", 1 << 18)
    monkeypatch.setattr(docx_module, "MAX_DOCUMENT", 1 << 18)
    tracemalloc.start()
    found: list[Damage] = []
    lengths = [len(document.text) for document in read_documents(path, on_damage=found.append)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 15 << 20 < sum(lengths) < 17 << 20
    assert "unpacks to more than 16 MiB" in found[0].why
    assert peak < 8 << 20
    assert "unpacks to more" in strict(path)


def test_rows_that_are_damaged_are_skipped_and_named(tmp_path: Path) -> None:
    rows = [
        b"id,text",
        b"1,Un",
        b"2,deux,trois",
        b"3",
        b"4,qua\0tre",
        b"5,cin\xe9q",
        b'6,"Six\nlignes"',
        b"7,Sept",
        b'8,"huit',
    ]
    path = write(tmp_path / "a.csv", b"\n".join([*rows, b"9,Neuf", b"10,Dix"]))
    texts, found = tolerant(path)
    assert texts == ["Un", "Six\nlignes", "Sept", "Neuf", "Dix"]
    assert sorted(damage.where for damage in found) == [f"line {n}" for n in (10, 3, 4, 5, 6)]
    assert "line 3 has 3 fields where the header has 2" in strict(write(path, b"\n".join(rows[:3])))


def test_an_endless_field_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MAX_RECORD", 1 << 16)
    quoted = '2,"' + ("a" * 999 + "\n") * 500
    path = write(tmp_path / "a.csv", "id,text\n1,Un\n" + quoted + "3," + "b" * (1 << 20) + "\n4,Quatre\n")
    tracemalloc.start()
    texts, found = tolerant(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts == ["Un", "Quatre"]
    assert found[0].where == "line 3"
    assert "fields" in found[1].why
    assert peak < 1 << 20


def test_parquet_that_is_none_or_cut(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": [f"Texte {i}" for i in range(1000)]}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for i, wrong in enumerate((data[: len(data) // 2], b"PAR1" * 100, data[:100] + b"\xff" * 500 + data[600:])):
        path = write(tmp_path / f"{i}.parquet", wrong)
        texts, found = tolerant(path)
        assert len(texts) < 1000
        assert "no Parquet file that can be read" in str(found[0])
        strict(path)


def test_pages_that_are_too_long_or_in_no_known_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.html", PAGE.replace('"utf-8"', '"utf-7"'))
    assert "in the encoding utf-7, which is not read" in strict(path)
    assert "not in the encoding that it declares" in strict(write(tmp_path / "b.html", PAGE.encode("cp1252")))
    monkeypatch.setattr(html, "MAX_PAGE", 1000)
    assert "more than 0 MiB" in strict(write(tmp_path / "c.html", PAGE))


def test_files_that_are_missing_empty_or_gone(tmp_path: Path) -> None:
    gone = write(tmp_path / "gone.txt", "Parti.")
    last = write(tmp_path / "last.txt", "Reste.")
    found: list[Damage] = []
    documents = read_documents([gone, last], on_damage=found.append)
    gone.unlink()
    assert documents.identity is None
    assert [d.text for d in documents] == ["Reste."]
    assert str(found[0]) == f"{gone} no such file: {gone}; check the path" or "no such file" in str(found[0])
    with pytest.raises(UserError, match="is empty"):
        read_documents(write(tmp_path / "empty.txt", ""), on_damage=found.append)
    blank = write(tmp_path / "blank.gz", gzip.compress(b""))
    assert tolerant(blank)[0] == []
    (tmp_path / "loop").mkdir()
    write(tmp_path / "loop/a.txt", "Un.")
    (tmp_path / "loop/again").symlink_to(tmp_path / "loop")
    (tmp_path / "loop/self").symlink_to("self")
    assert tolerant(tmp_path / "loop")[0] == ["Un."]


@pytest.mark.parametrize("seed", range(60))
def test_noise_in_any_file_is_never_a_crash(tmp_path: Path, seed: int) -> None:
    """Bytes changed, cut out and put in at random: every outcome is texts and damage, strict a text or a UserError."""
    rng = random.Random(seed)
    csv = "id;texte\n" + "".join(f'{i};"Texte, {i}"\n' for i in range(50))
    whole = [
        (HEAD + "".join(page(i, f"Texte {i} &amp; été") for i in range(20)) + TAIL).encode(),
        TRS.format(encoding="UTF-8").encode(),
        PAGE.encode(),
        csv.encode(),
        docx("".join(paragraph(f"Texte {i}") for i in range(50))),
        b'{"text": "Un."}\n' * 30,
        bz2.compress(b'{"text": "Un."}\n' * 30),
    ][seed % 7]
    data = bytearray(whole)
    for _ in range(rng.randrange(1, 12)):
        at = rng.randrange(len(data))
        n = rng.choice((1, 1, 5, 200))
        data[at : at + rng.choice((0, n))] = rng.choice((rng.randbytes(n), b"<", b'"', b"\0", b"</page>", b"&x;", b""))
    path = write(tmp_path / rng.choice(("a", "a.txt", "a.csv", "a.xml", "a.html", "a.docx")), bytes(data) or b"a")
    texts, _ = tolerant(path)
    assert all(texts)
    message = ""
    try:
        list(read_documents(path))
    except UserError as error:
        message = str(error)
    assert not message or str(path) in message


PEAK = """
import collections, resource, sys
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.corpus.sources.mediawiki import dump
class Plain:
    unknown = collections.Counter()
    def text(self, wikitext, title): return wikitext
    def redirect(self, wikitext): return None
dump._wikitext = lambda site, source: Plain()
damages = []
n = sum(len(d.text) for d in read_documents(sys.argv[1:], on_damage=damages.append))
print(n, len(damages), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv", "a.xml", "a.trs", "a.html"])
def test_a_line_of_a_gigabyte_stays_in_bounds(tmp_path: Path, name: str) -> None:
    """A sparse file of a gigabyte of NULs after a good beginning, then of letters through a pipe: at most 700 MiB."""
    heads = {
        "a.jsonl": b'{"text": "Un."}\n{"text": "',
        "a.txt": b"Un.\n\n",
        "a.csv": b'id,text\n1,Un\n2,"',
        "a.xml": (HEAD + page(1, "Un") + page(2, "").split("</text>")[0]).encode(),
        "a.trs": TRS.format(encoding="UTF-8").split("Il fait beau")[0].encode(),
        "a.html": b"<html><body><p>Un</p><p>",
    }
    path = write(tmp_path / name, heads[name] + b"a" * 200_000)
    os.truncate(path, 1 << 30)
    write_letters = "for _ in range(1024): sys.stdout.buffer.write(b'a' * (1 << 20))"
    letters = f"import sys\nsys.stdout.buffer.write({heads[name]!r})\n{write_letters}"
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))  # noqa: E731
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) >= 1
    assert int(done.stdout.split()[2]) < 700
    with subprocess.Popen([sys.executable, "-c", letters], stdout=subprocess.PIPE) as pipe:
        command = [sys.executable, "-c", PEAK, "-"]
        done = subprocess.run(command, stdin=pipe.stdout, capture_output=True, text=True, preexec_fn=limit)
        pipe.kill()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[2]) < 700
