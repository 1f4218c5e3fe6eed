"""Preparing what users have: odd names, broken files, inputs that change, disks that fill, kills at the worst time."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import hashlib
import html.parser
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import synthetic_dump
from preparing_cases import FRENCH, digest, dropped, prepare, sentences, texts, write_jsonl

from jarvis_nano.corpus import writing
from jarvis_nano.corpus.preparing import parts, pipeline, report
from jarvis_nano.corpus.preparing.identities import Identities
from jarvis_nano.corpus.preparing.parts import Part
from jarvis_nano.corpus.preparing.settings import Settings
from jarvis_nano.corpus.preparing.workers import WorkerDied, Workers
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.errors import Resumable, UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def damaged(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "report/damaged.jsonl").read_text(encoding="utf-8").splitlines()]


def with_copies(texts: list[str], seed: int) -> list[str]:
    """The texts, some of them twice, some nearly so, in any order."""
    rng = random.Random(seed)
    near = [text.replace(" la ", " cette ", 1) for text in rng.sample(texts, len(texts) // 3)]
    found = texts + rng.sample(texts, len(texts) // 3) + near
    rng.shuffle(found)
    return found


def mixed_folder(folder: Path) -> Path:
    """Files of several formats, with hostile names and contents, damaged ones among them."""
    folder.mkdir()
    (folder / "a b 'c\" <b>&amp;.txt").write_text(sentences(1)[0] + " <script>x</script> & fin", encoding="utf-8")
    (folder / "two\nlines.txt").write_text(FRENCH, encoding="utf-8")
    (folder / "empty.txt").touch()
    (folder / "word.txt").write_text("mot", encoding="utf-8")
    (folder / "utf16.txt").write_bytes(FRENCH.encode("utf-16"))
    (folder / "page.html").write_text(f"<html><body><p>{FRENCH} Encore.</p></body></html>", encoding="utf-8")
    (folder / "table.csv").write_text(f'id,text\n1,"{sentences(2)[1]}"\n', encoding="utf-8")
    lines = [json.dumps({"id": "x", "text": text}) for text in with_copies(sentences(30, seed=5), 1)]
    lines += ['{"text": "\\ud800 a"}', '{"no": "text"}', '{"text": "\\u200b"}', '{"text": "\\ufffd\\u0000 a b"}']
    lines += [json.dumps({"text": "שלום עולם " * 20})]
    (folder / "many.jsonl").write_text("\n".join(lines), encoding="utf-8")
    cut = bz2.compress("\n".join(json.dumps({"text": text}) for text in sentences(60, seed=6)).encode())[:-50]
    (folder / "cut.jsonl.bz2").write_bytes(cut)
    (folder / "cut.txt.gz").write_bytes(gzip.compress("\n\n\n".join(sentences(60, seed=7)).encode())[:-300])
    synthetic_dump.write_dump(folder / "wiki.xml", 50_000, pages=21)
    return folder


class _Html(html.parser.HTMLParser):
    """Names of the elements, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.text = ""

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.seen[tag] += 1

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("unit_bytes", [2_000, 1 << 20])
@pytest.mark.parametrize("quality", [True, False])
def test_the_books_balance(tmp_path: Path, quality: bool, unit_bytes: int) -> None:
    folder = mixed_folder(tmp_path / "in")
    out = tmp_path / "out"
    licence = '<u>CC</u> & "mine"'
    settings = Settings(languages=(), quality=quality, unit_bytes=unit_bytes)
    manifest = pipeline.prepare_corpus([folder], out, settings, licence=licence, processes=1, show_progress=False)
    kept, gone = list(read_documents(out)), dropped(out)

    counts = manifest["counts"]
    assert counts["read"] == counts["kept"] + sum(counts["reasons"].values())
    assert counts["kept"] == manifest["documents"] == len(kept)
    assert Counter(one["reason"] for one in gone) == counts["reasons"]
    assert {"exact_duplicate", "near_duplicate"} <= counts["reasons"].keys()
    assert sum(counts["damaged"].values()) == len(damaged(out)) >= 5
    assert sum(counts["languages"].values()) == len(kept)
    assert len({document.text for document in kept}) == len(kept)
    ids = {document.id for document in kept}
    assert len(ids) == len(kept)
    assert all(one["kept"] in ids for one in gone if "kept" in one)

    assert manifest["text_bytes"] == sum(len(document.utf8) for document in kept)
    assert sum(entry["text_bytes"] for entry in manifest["sources"].values()) == manifest["text_bytes"]
    assert sum(entry["documents"] for entry in manifest["sources"].values()) == len(kept)
    for entry in manifest["files"]:
        assert hashlib.sha256((out / entry["name"]).read_bytes()).hexdigest() == entry["sha256"]
    for entry in manifest["inputs"]:
        data = (folder / entry["name"].removeprefix("in/")).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry["sha256"], entry["bytes"])

    page = _Html()
    page.feed((out / "report/index.html").read_text(encoding="utf-8"))
    assert page.seen["script"] == page.seen["u"] == 0
    assert page.seen["h1"] == 1
    assert licence in page.text
    assert "a b 'c\" <b>&amp;.txt" in page.text
    assert f"{counts['read']:,}documents read" in page.text
    assert f"{counts['kept']:,}kept" in page.text


def test_units_change_ids_and_their_order_at_most(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", with_copies(sentences(60), 2))
    found = []
    for unit_bytes in (700, 5_000, 1 << 20):
        prepare(path, tmp_path / f"{unit_bytes}", Settings(languages=(), quality=False, unit_bytes=unit_bytes))
        found.append(texts(tmp_path / f"{unit_bytes}"))
    assert found[0] == found[1] == found[2]


def test_ids_are_unique_over_all_inputs(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        (tmp_path / name / "books").mkdir(parents=True)
        (tmp_path / name / "books/x.txt").write_text(sentences(2, seed=3)[number], encoding="utf-8")
        write_jsonl(tmp_path / name / "j.jsonl", [*sentences(3, seed=number), sentences(1, seed=0)[0]])
    given = [tmp_path / "a/books", tmp_path / "b/books", tmp_path / "a/j.jsonl", tmp_path / "b/j.jsonl"]
    prepare([*given, tmp_path / "a/j.jsonl"], tmp_path / "out")
    kept = [document.id for document in read_documents(tmp_path / "out")]
    assert kept == ["books/x.txt#0", "books/x.txt#0~2", "n0", "n1", "n2", "n0~2", "n1~2", "n2~2"]
    gone = {one["id"]: one["kept"] for one in dropped(tmp_path / "out")}
    assert gone == {"n3": "n0", "n3~2": "n0", "n0~3": "n0", "n1~3": "n1", "n2~3": "n2", "n3~3": "n0"}


def test_an_id_that_looks_like_a_second_one_is_not_taken_twice() -> None:
    given = ["a", "a~2", "a", "a", "b", "a~2"]
    identities = Identities(given)
    found = [identities.of(number, identity) for number, identity in enumerate(given)]
    assert found == ["a", "a~2", "a~2~", "a~3", "b", "a~2~2"]
    assert identities.repeated(1, 4) == [2, 3]


def test_names_that_are_not_utf8_are_shown_with_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text(FRENCH, encoding="utf-8")
    (folder / os.fsdecode(b"th\xe9.jsonl")).write_text('{"text": 1}\n', encoding="utf-8")
    manifest = prepare(folder, tmp_path / "out")
    assert [document.id for document in read_documents(tmp_path / "out")] == ["in/caf\\xe9.txt#0"]
    assert manifest["counts"]["damaged"] == {f"{folder}/th\\xe9.jsonl": 2}


def test_brackets_in_names_are_no_markup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "[/b]:smile:"
    report.show(prepare(write_jsonl(tmp_path / "a.jsonl", sentences(2)), out), out)
    assert f"{out}/report/index.html" in capsys.readouterr().out


@pytest.mark.parametrize("piped", [False, True])
def test_a_stream_cut_short_keeps_what_it_gave(tmp_path: Path, piped: bool) -> None:
    """A large .gz, which is unpacked by the main process, from a file and from a named pipe."""
    rows = [json.dumps({"id": f"n{i}", "text": text}) for i, text in enumerate(sentences(400))]
    packed = gzip.compress("\n".join(rows).encode())[:-2_000]
    path = tmp_path / "a.jsonl.gz"
    if piped:
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=(packed,), daemon=True).start()
    else:
        path.write_bytes(packed)
    other = write_jsonl(tmp_path / "b.jsonl", sentences(3, seed=9))
    prepare([path, other], tmp_path / "out", Settings(languages=(), quality=False, unit_bytes=5_000))
    kept = texts(tmp_path / "out")
    assert kept[-3:] == sentences(3, seed=9)
    assert 200 < len(kept) - 3 < 400
    assert kept[:-3] == sentences(400)[: len(kept) - 3]
    assert any("it ends in the middle" in one["why"] for one in damaged(tmp_path / "out"))


def test_a_piece_in_which_no_record_begins_is_no_damage(tmp_path: Path) -> None:
    long = " ".join(sentences(300, seed=4))
    path = write_jsonl(tmp_path / "a.jsonl", [*sentences(5), long, *sentences(5, seed=1)])
    path.write_bytes(path.read_bytes() + b"\n" * 30_000)
    manifest = prepare(path, tmp_path / "out", Settings(languages=(), quality=False, unit_bytes=5_000))
    assert manifest["counts"]["damaged"] == {}
    assert texts(tmp_path / "out") == [*sentences(5), long, *sentences(5, seed=1)]


def test_a_pipe_in_a_folder_is_not_waited_for_and_an_empty_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = write_jsonl(tmp_path / "in/a.jsonl", sentences(2))
    os.mkfifo(tmp_path / "in/b.txt")
    assert len(prepare(tmp_path / "in", tmp_path / "out")["inputs"]) == 1
    threading.Thread(target=(tmp_path / "in/b.txt").write_bytes, args=(b"",), daemon=True).start()
    with pytest.raises(UserError, match=r"b\.txt is empty"):
        prepare([path, tmp_path / "in/b.txt"], tmp_path / "other")


@pytest.mark.parametrize("change", ["longer", "gone"])
@pytest.mark.parametrize("unit_bytes", [3_000, 1 << 20])
def test_an_input_that_changes_meanwhile_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, unit_bytes: int
) -> None:
    """As one file of a group, and in ranges; what was done before stays."""
    path, other = write_jsonl(tmp_path / "a.jsonl", sentences(60)), write_jsonl(tmp_path / "b.jsonl", sentences(2, 1))
    settings = Settings(languages=(), quality=False, unit_bytes=unit_bytes)
    make = pipeline._make_part

    def change_then_make(unit: object) -> object:
        with contextlib.suppress(FileNotFoundError):
            path.rename(tmp_path / "kept.jsonl") if change == "gone" else path.write_bytes(path.read_bytes() + b"\n")
        return make(unit)

    monkeypatch.setattr(pipeline, "_make_part", change_then_make)
    with pytest.raises(Resumable, match=r"a\.jsonl changed, or went"):
        prepare([path, other], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(pipeline, "_make_part", make)
    if change == "gone":
        (tmp_path / "kept.jsonl").rename(path)
    prepare([path, other], tmp_path / "out", settings)
    assert texts(tmp_path / "out") == [*sentences(60), *sentences(2, 1)]


def _interrupt(*given: object, **named: object) -> None:
    raise KeyboardInterrupt


def _half_remove(folder: Path, **named: object) -> None:
    """What a kill leaves of rmtree, which removes in any order."""
    for path in folder.iterdir():
        if path.suffix != ".json":
            path.unlink()
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("module", "name", "breaks"),
    [
        (pipeline, "find_duplicates", _interrupt),
        (report, "write", _interrupt),
        (pipeline, "_manifest", _interrupt),
        (pipeline.shutil, "rmtree", _half_remove),
        (writing, "_flush_to_disk", _interrupt),
        (writing, "_rename", _interrupt),
    ],
)
def test_an_end_in_the_last_stages_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, breaks: object
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", with_copies(sentences(40), 3))
    settings = Settings(languages=(), quality=False, unit_bytes=3_000)
    prepare(path, tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, breaks)
        with pytest.raises(KeyboardInterrupt) as caught:
            prepare(path, tmp_path / "out", settings)
    assert module not in (pipeline, report) or "the same command goes on from here" in str(caught.value)
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_make_part", lambda unit: pytest.fail("a part is made again"))
        prepare(path, tmp_path / "out", settings)
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_a_part_with_counts_has_its_damage_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "un deux trois"}\nno JSON\n', encoding="utf-8")
    seen = []
    complete = Part.complete
    monkeypatch.setattr(
        Part, "complete", lambda part, counts: (seen.append(part.damaged.read_text()), complete(part, counts))
    )
    prepare(path, tmp_path / "out")
    assert "is not JSON" in seen[0]


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    """NumPy's own writing raises an OSError without a number, which looks like a fault of the program."""
    with pytest.raises(OSError) as caught:
        parts._save(Path("/dev/full"), np.zeros(100_000))
    assert caught.value.errno == errno.ENOSPC


def test_an_output_inside_an_input_is_no_input(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", sentences(3))
    first = prepare(folder, folder / "out")
    assert prepare(folder, folder / "out") == first
    again = prepare(folder, tmp_path / "other")  # elsewhere it is one
    assert len(again["inputs"]) == 2


def test_wrong_numbers_are_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", sentences(3))
    for processes in (0, -1):
        with pytest.raises(UserError, match="expected 1 or more"):
            prepare(path, tmp_path / "out", processes=processes)
    with pytest.raises(UserError, match="expected 0 to 1"):
        Settings(min_confidence=7.0)


@pytest.mark.parametrize("place", ["/proc/out", "file/out", "file/below/out"])
def test_a_place_where_no_folder_can_be_is_refused(tmp_path: Path, place: str) -> None:
    path = write_jsonl(tmp_path / "file", sentences(3))
    with pytest.raises(UserError, match="no folder can be made in"):
        prepare(path, tmp_path / place)


def test_a_corpus_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", sentences(3))
    out = tmp_path / "o[u]t"  # brackets mean something to glob
    folder = tmp_path / f".{out.name}.{socket.gethostname()}-{os.getppid()}.partial"
    folder.mkdir()
    with pytest.raises(UserError, match=rf"another process is writing .*, remove .*-{os.getppid()}\.partial"):
        prepare(path, out)
    assert folder.exists()
    folder.rmdir()
    prepare(path, out)


def _end_itself(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def _nothing() -> None:
    pass


def test_a_killed_worker_is_said_and_can_be_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="fewer --processes"), Workers(2, _nothing) as workers:
        list(workers.map(_end_itself, range(3)))
    with pytest.raises(WorkerDied), writing.folder_beside(tmp_path / "out", can_go_on=lambda folder: True) as folder:
        raise WorkerDied("…")
    assert folder.exists()
    with pytest.raises(UserError), writing.folder_beside(tmp_path / "out", can_go_on=lambda folder: True) as folder:
        raise UserError("…")
    assert not folder.exists()


def test_workers_end_with_the_process_that_began_them(tmp_path: Path) -> None:
    program = (
        "import time, os\n"
        "from jarvis_nano.corpus.preparing.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(1 + 1, time.sleep, 0) as workers:\n"
        "        for pid in workers.map(os.getpgid, [0, 0]):\n"
        "            print(*open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read().split(), flush=True)\n"
        "            list(workers.map(time.sleep, [600, 600]))\n"
    )
    (tmp_path / "main.py").write_text(program, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, tmp_path / "main.py"], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) >= 2
        process.kill()
    deadline = time.monotonic() + 10
    while alive := [pid for pid in children if _is_running(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
