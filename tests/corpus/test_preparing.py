"""Preparing a corpus: every document is kept or has a reason, and neither kills, processes nor shards change a byte."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import synthetic_dump
from preparing_cases import ANY, FRENCH, digest, dropped, prepare, sentences, texts, write_jsonl

from jarvis_nano.corpus.preparing import pipeline
from jarvis_nano.corpus.preparing.settings import Settings, parse_shard
from jarvis_nano.corpus.sources import Options, read_documents
from jarvis_nano.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are small here, and flushing each would be most of the time; the commands that are started do it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_every_document_is_kept_or_has_a_reason(tmp_path: Path) -> None:
    given = [
        FRENCH,
        FRENCH,
        FRENCH.replace("cloche", "sonnerie"),
        "The house was dark and nobody came to it. " * 9,
        "a",
    ]
    path = write_jsonl(tmp_path / "a.jsonl", given)
    manifest = prepare(path, tmp_path / "out", Settings())
    assert texts(tmp_path / "out") == [FRENCH]
    reasons = {one["id"]: one["reason"] for one in dropped(tmp_path / "out")}
    assert reasons.keys() == {"n1", "n2", "n3", "n4"}
    assert reasons["n1"] == "exact_duplicate"
    assert reasons["n2"] == "near_duplicate"
    assert manifest["counts"]["read"] == 5
    assert manifest["counts"]["kept"] == 1
    assert sum(manifest["counts"]["reasons"].values()) == 4
    kept_instead = {one["id"]: one.get("kept") for one in dropped(tmp_path / "out")}
    assert kept_instead["n1"] == kept_instead["n2"] == "n0"


def test_the_language_asked_for_is_kept(tmp_path: Path) -> None:
    english = "The evening fell on the town when she opened the window and looked at the children in the street. " * 3
    path = write_jsonl(tmp_path / "a.jsonl", [FRENCH, english])
    settings = Settings(quality=False, duplicates="off")
    prepare(path, tmp_path / "out", settings)
    assert texts(tmp_path / "out") == [FRENCH]
    (gone,) = dropped(tmp_path / "out")
    assert gone["reason"] == "other_language"
    assert gone["language"] == "en"


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_dump.write_dump(tmp_path_factory.mktemp("dump") / "wiki.xml", 330_000, pages=20)


def test_a_dump_in_units_gives_every_article_once(tmp_path: Path, dump: Path) -> None:
    settings = Settings(languages=(), quality=False, duplicates="off", unit_bytes=100_000)
    manifest = prepare(dump, tmp_path / "out", settings)
    n_pages = dump.read_bytes().count(b"<page>")
    n_redirects = sum(1 for number in range(n_pages) if number % 10 == 7)
    assert manifest["counts"]["passed_over"] == {"redirect": n_redirects}
    documents = list(read_documents(tmp_path / "out"))
    titles = [document.text.partition("\n")[0] for document in documents]
    assert titles == [f"Village {number}" for number in range(n_pages) if number % 10 != 7]
    assert len({document.id for document in documents}) == len(documents)


def test_near_duplicates_of_a_dump_are_found_across_units(tmp_path: Path, dump: Path) -> None:
    manifest = prepare(dump, tmp_path / "out", Settings(languages=(), quality=False, unit_bytes=100_000))
    n_pages = dump.read_bytes().count(b"<page>")
    planted = sum(1 for number in range(n_pages) if number % 20 == 19)
    found = manifest["counts"]["reasons"].get("near_duplicate", 0)
    assert planted * 0.95 <= found <= planted * 1.01


@pytest.mark.parametrize("suffix", [".xml.bz2", ".xml.gz"])
def test_a_packed_dump_gives_the_same_documents(tmp_path: Path, dump: Path, suffix: str) -> None:
    """bz2: of many members, read from the middle; gz: one stream, cut into chunks."""
    packed = tmp_path / f"wiki{suffix}"
    if suffix == ".xml.bz2":
        synthetic_dump.write_dump(packed, 330_000, pages=20)
    else:
        packed.write_bytes(gzip.compress(dump.read_bytes()))
    settings = Settings(languages=(), quality=False, unit_bytes=60_000)
    prepare(dump, tmp_path / "plain", settings)
    prepare(packed, tmp_path / "packed", settings)
    assert texts(tmp_path / "packed") == texts(tmp_path / "plain")


def test_processes_and_units_done_before_change_nothing(
    tmp_path: Path, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(languages=(), unit_bytes=30_000)
    prepare(dump, tmp_path / "one", settings)
    prepare(dump, tmp_path / "two", settings, processes=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")

    made = []
    make = pipeline._make_part

    def make_four(unit: object) -> object:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(unit)
        return make(unit)

    monkeypatch.setattr(pipeline, "_make_part", make_four)
    with pytest.raises(KeyboardInterrupt):
        prepare(dump, tmp_path / "three", settings)
    assert not (tmp_path / "three").exists()
    made.clear()
    with pytest.raises(KeyboardInterrupt):
        prepare(dump, tmp_path / "three", settings)
    assert [unit.number for unit in made] == [4, 5, 6, 7]
    monkeypatch.setattr(pipeline, "_make_part", make)
    prepare(dump, tmp_path / "three", settings)
    assert digest(tmp_path / "one") == digest(tmp_path / "three")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_finished_corpus_is_left_as_it_is(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", sentences(5))
    first = prepare(path, tmp_path / "out")
    before = (tmp_path / "out/manifest.json").stat().st_mtime_ns
    assert prepare(path, tmp_path / "out") == first
    assert (tmp_path / "out/manifest.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="already a folder"):
        prepare(path, tmp_path / "out", Settings(languages=(), quality=False, duplicates="off"))


def test_shards_are_all_of_it(tmp_path: Path, dump: Path) -> None:
    def settings(shard: tuple[int, int]) -> Settings:
        return Settings(languages=(), quality=False, unit_bytes=60_000, shard=shard)

    prepare(dump, tmp_path / "whole", settings((0, 1)))
    for number in range(3):
        prepare(dump, tmp_path / f"shard-{number}", settings((number, 3)))
    joined = [text for number in range(3) for text in texts(tmp_path / f"shard-{number}")]
    assert set(texts(tmp_path / "whole")) <= set(joined)
    manifest = prepare([tmp_path / f"shard-{number}" for number in range(3)], tmp_path / "joined", ANY)
    assert manifest["documents"] == len(texts(tmp_path / "whole"))


def test_a_damaged_member_costs_its_own_pages_only(tmp_path: Path) -> None:
    path = synthetic_dump.write_dump(tmp_path / "wiki.xml.bz2", 500_000, pages=20)
    settings = Settings(languages=(), quality=False, duplicates="off", unit_bytes=250_000)
    whole = prepare(path, tmp_path / "whole", settings)
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"BZh9"]
    middle = (starts[2] + starts[3]) // 2
    data[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    hurt = prepare(path, tmp_path / "hurt", settings)
    lost = whole["documents"] - hurt["documents"]
    assert 1 <= lost <= 20 + 1
    assert sum(hurt["counts"]["damaged"].values()) >= 1
    assert "bzip2 member" in (tmp_path / "hurt/report/damaged.jsonl").read_text(encoding="utf-8")


def test_damaged_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", sentences(5))
    path.write_bytes(path.read_bytes() + b'{"text": "\xff"}\n{"text": \n' + b'{"text": "Un dernier mot."}\n')
    manifest = prepare(path, tmp_path / "out")
    assert manifest["counts"]["damaged"] == {str(path): 2}
    assert texts(tmp_path / "out")[-1] == "Un dernier mot."


def test_input_without_a_document_writes_nothing(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ["Only a few words of English here."])
    with pytest.raises(UserError, match="no document was kept of 1"):
        prepare(path, tmp_path / "out", Settings())
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


def test_many_small_files_and_a_large_one(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for number, text in enumerate(sentences(30)):
        (folder / f"{number:02d}.txt").write_text(text, encoding="utf-8")
    large = "\n\n\n".join(sentences(400, seed=1))
    (folder / "10b.txt").write_text(large, encoding="utf-8")
    prepare(folder, tmp_path / "out", Settings(languages=(), quality=False, unit_bytes=20_000))
    assert sorted(texts(tmp_path / "out")) == sorted([*sentences(30), *sentences(400, seed=1)])


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "1/0", "a/b", "1/2/3"])
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected i/n"):
        Settings(shard=parse_shard(text))


def test_kills_of_the_command_change_nothing(tmp_path: Path, dump: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/prepare_corpus.py"), str(dump), "--unit-bytes", "20000"]
    command += ["--processes", "1", "--languages"]
    prepare(dump, tmp_path / "whole", Settings(languages=(), unit_bytes=20_000))
    for n_parts in (2, 6):
        process = subprocess.Popen(
            [*command, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL, start_new_session=True
        )
        while len(list(tmp_path.glob(".killed*.partial/work/*[0-9].json"))) < n_parts:
            assert process.poll() is None
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--out", str(tmp_path / "killed")], check=True, capture_output=True)
    assert digest(tmp_path / "whole") == digest(tmp_path / "killed")


def test_the_report_can_be_read(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [*sentences(3), "<script>alert('ça')</script> & rien d'autre ici", ""])
    prepare(path, tmp_path / "out")
    html = (tmp_path / "out/report/index.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "http" not in html.replace("https://example.org", "")
    counts = json.loads((tmp_path / "out/report/counts.json").read_text(encoding="utf-8"))
    assert counts["characters"]["é"] == sum(text.count("é") for text in texts(tmp_path / "out"))


@pytest.mark.parametrize("packed", [False, True])
def test_the_standard_input_is_read(tmp_path: Path, dump: Path, packed: bool) -> None:
    command = [sys.executable, str(ROOT / "scripts/prepare_corpus.py"), "-", "--out", str(tmp_path / "out")]
    command += ["--unit-bytes", "100000", "--processes", "1", "--languages", "--no-quality", "--json"]
    given = gzip.compress(dump.read_bytes()) if packed else dump.read_bytes()
    done = subprocess.run(command, input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["inputs"] == [{"name": "stdin", "bytes": 0, "sha256": None, "format": "mediawiki"}]
    prepare(dump, tmp_path / "file", Settings(languages=(), quality=False, unit_bytes=100_000))
    assert texts(tmp_path / "out") == texts(tmp_path / "file")


def test_a_pipe_that_cannot_be_streamed_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/prepare_corpus.py"), "-", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, input=b"PK\x03\x04 a docx", capture_output=True, text=False)
    assert done.returncode == 2
    assert b"write it to a file first" in done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(rules_off=("nfkc",)), "no rule is named nfkc"),
        (Settings(mask=("names",)), "no sensitive kind is named names"),
        (Settings(languages=("klingon",)), "klingon is no language that lingua knows"),
    ],
)
def test_wrong_settings_are_found_before_the_work(tmp_path: Path, settings: Settings, message: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [FRENCH])
    with pytest.raises(UserError, match=message):
        prepare(path, tmp_path / "out", settings, processes=2)


@pytest.mark.parametrize("library", ["lingua", "ftfy"])
def test_a_missing_library_is_named_before_the_work(
    tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else find(name))
    path = write_jsonl(tmp_path / "a.jsonl", [FRENCH])
    with pytest.raises(UserError, match=rf'{library}, which .* is missing; run pip install -e "\.\[corpus\]"'):
        prepare(path, tmp_path / "out", Settings())


def test_a_book_with_chapters_apart_can_be_one_document(tmp_path: Path) -> None:
    (tmp_path / "candide.txt").write_text("Chapitre premier\n\n\n\nIl y avait.\n\n\nChapitre second", encoding="utf-8")
    whole = Settings(options=Options(whole_files=True), languages=(), quality=False)
    prepare(tmp_path / "candide.txt", tmp_path / "whole", whole)
    prepare(tmp_path / "candide.txt", tmp_path / "parted", ANY)
    assert texts(tmp_path / "whole") == ["Chapitre premier\n\nIl y avait.\n\nChapitre second"]
    assert len(texts(tmp_path / "parted")) == 3
