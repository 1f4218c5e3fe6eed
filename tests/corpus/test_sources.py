"""Files to documents: every packing and layout gives the same texts; every damage gives one clear message."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from jarvis_nano.corpus.documents import Document, write_corpus
from jarvis_nano.corpus.sources import fingerprint, jsonl, read_documents, text
from jarvis_nano.errors import UserError

BOOK = "L'œuvre commença.\n\n« Déjà ? » dit-il. — Oui, 3,14 fois.\n\nFin."
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def texts(*paths: Path) -> list[str]:
    return [document.text for document in read_documents(paths)]


def message(*paths: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(read_documents(paths))
    found = str(caught.value)
    assert "\n" not in found
    return found


@pytest.mark.parametrize("suffix", PACK)
def test_every_packing_gives_the_same_text(tmp_path: Path, suffix: str) -> None:
    pack = PACK[suffix]
    record = json.dumps({"id": "un", "text": BOOK, "source": "moi"}, ensure_ascii=False)
    assert texts(write(tmp_path / f"book.txt{suffix}", pack(BOOK.encode()))) == [BOOK]
    (document,) = read_documents(write(tmp_path / f"book.jsonl{suffix}", pack(record.encode())))
    assert document == Document("un", BOOK, "moi")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_members_one_after_the_other_are_all_read(tmp_path: Path, suffix: str) -> None:
    halves = BOOK[:20].encode(), BOOK[20:].encode()
    assert texts(write(tmp_path / f"a.txt{suffix}", b"".join(map(PACK[suffix], halves)))) == [BOOK]


def test_skippable_frames_of_parallel_zstd_are_passed_over(tmp_path: Path) -> None:
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0note"
    frames = skipped + PACK[".zst"](BOOK[:9].encode()) + skipped + PACK[".zst"](BOOK[9:].encode()) + skipped
    assert texts(write(tmp_path / "a.txt.zst", frames)) == [BOOK]


def test_long_windows_of_zstd_are_read(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert texts(write(tmp_path / "a.txt.zst", packer.compress(BOOK.encode()) + packer.flush())) == [BOOK]


def test_packing_and_format_are_seen_by_content(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "named-wrongly.txt", gzip.compress(BOOK.encode()))) == [BOOK]
    assert texts(write(tmp_path / "data", '{"text": "Un."}\n{"text": "Deux."}\n')) == ["Un.", "Deux."]


def test_two_blank_lines_part_documents_and_one_does_not(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n\n\nUn.\n\nEncore un.\n\n\nDeux.\n \t\n  \n\n\nTrois.\n")
    documents = list(read_documents(path))
    assert [d.text for d in documents] == ["Un.\n\nEncore un.", "Deux.", "Trois."]
    assert [d.id for d in documents] == ["a.txt#0", "a.txt#1", "a.txt#2"]


def test_line_ends_and_byte_order_marks_do_not_reach_the_text(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", "\ufeffUn.\r\nDeux.\r\n\r\n\r\nTrois.")) == ["Un.\nDeux.", "Trois."]
    assert texts(write(tmp_path / "a.jsonl", '\ufeff{"text": "Un."}\r\n{"text": "Deux."}\r\n')) == ["Un.", "Deux."]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_chunk_borders_leave_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    path = write(tmp_path / "a.txt", f"\ufeff{BOOK}\r\n\r\n\r\n\r\n{BOOK}\n\n\n\n\n🙂")
    whole = texts(path)
    monkeypatch.setattr(text, "_CHUNK", chunk)
    assert texts(path) == whole == [BOOK, BOOK, "🙂"]


def test_a_huge_text_is_cut_at_paragraphs_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_DOCUMENT", 1000)
    monkeypatch.setattr(text, "_CHUNK", 300)
    paragraphs = [f"Paragraphe {i}. " + "Il marchait. " * (i % 20) for i in range(200)]
    found = texts(write(tmp_path / "a.txt", "\n\n".join(paragraphs)))
    assert len(found) > 10
    assert all(len(one) <= 1000 for one in found)
    assert "\n\n".join(found).split("\n\n") == paragraphs


def test_folders_are_read_in_order_with_their_folders(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    write(folder / "b.txt", "B")
    write(folder / "a" / "z.jsonl", '{"text": "Z"}')
    write(folder / "a" / "c.txt.gz", gzip.compress(b"C"))
    write(folder / "README.md", "not a text of the corpus")
    write(folder / ".hidden.txt", "hidden")
    write(folder / "empty.txt", "")
    write_corpus([Document("p", "P", "s")], folder / "prepared")
    (folder / "loop").symlink_to(folder)
    documents = list(read_documents(folder))
    assert [d.text for d in documents] == ["C", "Z", "B", "P"]
    assert documents[0].id == "corpus/a/c.txt.gz#0"
    assert documents[2].source == "corpus/b.txt"


def test_a_corpus_folder_comes_back_as_it_was_written(tmp_path: Path) -> None:
    documents = [Document(f"d{i}", f"Texte {i}\u2028 « œ »\\\n\t{chr(1)}🙂" * 20, f"s{i % 3}") for i in range(300)]
    manifest = write_corpus(documents, tmp_path / "c", licence="CC0", settings={"seed": 1}, bytes_per_file=50_000)
    assert len(manifest["files"]) > 3
    assert (tmp_path / "c" / "documents-00001.jsonl.zst").exists()
    assert manifest["text_bytes"] == sum(len(d.text.encode()) for d in documents)
    assert list(read_documents(tmp_path / "c")) == documents


def test_a_failed_corpus_leaves_nothing(tmp_path: Path) -> None:
    def broken():
        yield Document("a", "Un.", "s")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(broken(), tmp_path / "c")
    with pytest.raises(UserError, match="no document"):
        write_corpus([], tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "c" / "mine.txt", "precious")
    with pytest.raises(UserError, match="already a folder with files"):
        write_corpus([Document("a", "Un.", "s")], tmp_path / "c")
    assert [p.name for p in tmp_path.rglob("*")] == ["c", "mine.txt"]


def test_a_killed_writer_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    script = (
        "import os, sys; from jarvis_nano.corpus.documents import *\n"
        "def gone():\n    yield Document('a', 'x', 's')\n    os._exit(9)\n"
        "write_corpus(gone(), sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "c")], check=False)
    assert done.returncode == 9
    assert len(list(tmp_path.iterdir())) == 1
    write_corpus([Document("a", "Un.", "s")], tmp_path / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, expected in ((gzip.compress(BOOK.encode()), BOOK), (b'{"text": "Un."}', "Un.")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))  # type: ignore[arg-type]
        assert texts(Path("-")) == [expected]


def test_missing_and_empty_inputs_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    good = write(tmp_path / "good.txt", "Bien.")
    link = write(tmp_path / "links" / "good.txt", "Bien.").with_name("dangling.txt")
    link.symlink_to("nowhere.txt")
    for bad, expected in (
        (tmp_path / "absent.txt", "no such file or folder: .*absent.txt"),
        (write(tmp_path / "empty.txt", ""), "empty.txt is empty"),
        (good / "child.txt", "no such file or folder: .*child.txt"),
        (link.parent, "no such file or folder: .*dangling.txt"),
        (write(tmp_path / "folder" / "a.pdf", "x").parent, "folder holds no text"),
    ):
        with pytest.raises(UserError, match=expected):
            read_documents([good, bad])
    with pytest.raises(UserError, match="no input"):
        read_documents([])


def test_white_space_alone_is_no_text(tmp_path: Path) -> None:
    assert "only white space" in message(write(tmp_path / "a.txt", " \n\n\n \n"))
    assert "holds no document" in message(write(tmp_path / "a.jsonl", '\n\n{"text": " "}\n'))


@pytest.mark.parametrize("before", [0, 5, (1 << 20) - 1, (1 << 20) + 3])
def test_a_byte_that_is_not_utf8_is_named_with_its_place_and_the_cure(tmp_path: Path, before: int) -> None:
    found = message(path := write(tmp_path / "a.txt", b"a" * before + "é tait".encode("latin1")))
    assert f"{path} is not UTF-8: byte 0xe9 at offset {before};" in found
    assert f"iconv -f latin1 -t utf8 '{path}'" in found


def test_a_character_cut_short_at_the_end_is_named(tmp_path: Path) -> None:
    assert "byte 0xc3 at offset 2" in message(write(tmp_path / "a.txt", b"ab\xc3"))


def test_utf16_and_binary_are_told_apart(tmp_path: Path) -> None:
    assert "iconv -f utf-16" in message(write(tmp_path / "a.txt", "été".encode("utf-16")))
    assert "binary data" in message(write(tmp_path / "b.txt", bytes(range(256)) * 9))
    assert "binary data" in message(write(tmp_path / "c.txt", b"ELF\0\0\0"))


def test_bad_bytes_in_jsonl_have_a_line(tmp_path: Path) -> None:
    data = b'{"text": "Un."}\n' + '{"text": "été"}\n'.encode("latin1")
    found = message(write(tmp_path / "a.jsonl", data))
    assert "byte 0xe9 at offset 26, line 2" in found


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("kept", [0.3, 0.8, 0.999])
def test_a_packed_file_cut_short_is_damaged(tmp_path: Path, suffix: str, kept: float) -> None:
    packed = PACK[suffix]("".join(f"Phrase {i * i}.\n" for i in range(20_000)).encode())
    path = write(tmp_path / f"a.txt{suffix}", packed[: int(len(packed) * kept)])
    assert f"{path} is damaged" in message(path)
    assert "ends in the middle" in message(path)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_a_packed_file_with_a_changed_byte_is_damaged(tmp_path: Path, suffix: str) -> None:
    packed = bytearray(PACK[suffix]("".join(f"Phrase {i * i}.\n" for i in range(20_000)).encode()))
    packed[len(packed) // 2] ^= 0x55
    assert f"a.txt{suffix} is damaged" in message(write(tmp_path / f"a.txt{suffix}", bytes(packed)))


def test_a_name_that_promises_a_packing_must_keep_it(tmp_path: Path) -> None:
    assert "named .zst but does not begin like zstd" in message(write(tmp_path / "a.txt.zst", BOOK))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"text": "Deux."', "line 2 is not JSON: Expecting ',' delimiter at column 17"),
        ("[1, 2]", "line 2 is a JSON list; expected an object"),
        ('{"texte": "Deux."}', r'line 2 has no string under "text" \(its keys: texte\)'),
        ('{"text": 3}', 'line 2 has no string under "text"'),
        ('{"instruction": "a", "response": "b"}', "instructions go to scripts/finetune.py"),
        ("[" * 100_000, "line 2 is no"),
        ('{"text": "\\ud83d"}', "half of a surrogate pair at character 0"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, expected: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "Un."}}\n{line}\n{{"text": "Trois."}}\n')
    with pytest.raises(UserError, match=expected):
        list(read_documents(path))


def test_an_endless_line_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE", 1 << 20)
    path = write(tmp_path / "a.jsonl.zst", PACK[".zst"](b'{"text": "' + b"a" * (1 << 22)))
    assert "line 1 is longer than 1 MiB" in message(path)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"<?xml version='1.0'?>\n<TEI><text>", "XML of the kind <TEI>; expected plain text"),
        (b"%PDF-1.7", "a PDF; convert it, for instance: pdftotext"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Word .* libreoffice --headless --convert-to docx"),
        (b"{\\rtf1", "RTF; convert it"),
        (b"PK\x03\x04...", "is no zip file that can be read"),
        (b"PAR1", "is no Parquet file that can be read"),
        (b'[\n  {"text": "Un."},', "one JSON value over many lines; .* jq -c"),
        (b"597:10:Accueil\n597:11:Paris\n597:12:Lyon\n", "the index of a multistream dump"),
        (b"<page>\n<title>Paris</title>", "part of a MediaWiki dump without its <mediawiki>"),
    ],
)
def test_other_formats_are_not_taken_for_text(tmp_path: Path, head: bytes, expected: str) -> None:
    path = write(tmp_path / "a.txt", head + BOOK.encode())
    assert re.search(expected, message(path))


def test_a_damaged_corpus_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    write_corpus([Document(str(i), f"Texte {i}.", "s") for i in range(9)], folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))

    write(folder / "manifest.json", json.dumps(manifest | {"version": 2}))
    assert "has version 2" in message(folder)
    manifest["files"][0]["documents"] = 8
    write(folder / "manifest.json", json.dumps(manifest))
    assert "holds 9 documents, manifest.json says 8" in message(folder)
    write(folder / "manifest.json", json.dumps(manifest)[:-5])
    assert "manifest.json is damaged" in message(folder)
    write(folder / "manifest.json", json.dumps(manifest))
    (folder / "documents-00000.jsonl.zst").unlink()
    assert "lacks documents-00000.jsonl.zst" in message(folder)


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = write(tmp_path / "x" / "a.txt", BOOK)
    before = fingerprint(path)
    assert fingerprint(write(tmp_path / "y" / "a.txt", BOOK)) == before
    assert fingerprint(write(tmp_path / "y" / "a.txt", BOOK + "!")) != before
    assert fingerprint([path, path]) != before
    write_corpus([Document("a", "Un.", "s")], tmp_path / "c")
    assert fingerprint(tmp_path / "c") not in (before, fingerprint(tmp_path / "x"))


def test_nothing_here_imports_torch() -> None:
    script = "import sys, jarvis_nano.corpus.sources, jarvis_nano.data.shards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_novels_come_out_whole(shared_data: Path) -> None:
    folder = shared_data / "corpus_fr"
    documents = list(read_documents(folder))
    for path in sorted(folder.glob("*.txt")):
        mine = "\n\n".join(d.text for d in documents if d.source == f"corpus_fr/{path.name}")
        assert mine.split() == path.read_text(encoding="utf-8").split(), path.name
    assert sum(d.source.endswith("Rolland.txt") for d in documents) == 1


PEAK = """
import resource, sys
from jarvis_nano.corpus import holdout
from jarvis_nano.corpus.sources import read_documents
for _ in holdout.split(read_documents("-")):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kilobytes(unit: str, times: int, pack: bool) -> int:
    """Memory of a process that reads `unit`, many times over and numbered, from its standard input."""
    process = subprocess.Popen([sys.executable, "-c", PEAK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    sink = zstandard.ZstdCompressor(level=1).stream_writer(process.stdin) if pack else process.stdin
    for i in range(times):
        sink.write(unit.replace("NUMBER", str(i)).encode())
    sink.close()
    peak = int(process.stdout.read())
    process.stdout.close()
    assert process.wait() == 0
    return peak


@pytest.mark.slow
@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("kind", ["novel", "stories", "jsonl"])
def test_memory_stays_flat_on_200_megabytes(kind: str, pack: bool) -> None:
    text = "NUMBER. Le roi sortit du château avec sa fille, et ne revint jamais. " * 14
    unit = {"novel": f"{text}\n\n", "stories": f"{text}\n\n\n", "jsonl": f'{{"text": "{text}"}}\n'}[kind]
    small, large = (peak_kilobytes(unit, times, pack) for times in (20_000, 200_000))
    assert large - small < 24 << 10, f"{small >> 10} MiB for 20 MB, {large >> 10} MiB for 200 MB"
