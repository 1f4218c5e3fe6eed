"""A file in pieces holds each record exactly once, wherever the cuts fall."""

from __future__ import annotations

import bz2
import io
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.corpus.preparing import ranges
from jarvis_nano.corpus.preparing.ranges import LINES, PAGES, bzip2_members, chunks, open_members, open_range


def read(path: Path, cuts: list[int], border: ranges.Border) -> list[bytes]:
    return [open_range(path, a, b, border).read() for a, b in itertools.pairwise(cuts)]


def read_members(path: Path, groups: list[list[int]], border: ranges.Border) -> tuple[list[bytes], list[str]]:
    """What each group of members gives, and the damage."""
    ends = [*(group[0] for group in groups[1:]), path.stat().st_size]
    damage: list[str] = []
    return [open_members(path, group, end, border, damage.append).read() for group, end in zip(groups, ends)], damage


@pytest.mark.parametrize("chunk", [1, 3, 50, 1 << 20])
def test_ranges_joined_are_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(ranges, "_CHUNK", chunk)
    rng = random.Random(1)
    lines = b"".join(b"%d" % i * rng.randint(0, 9) + b"\n" for i in range(40)) + b"no line end"
    pages = b"<mediawiki> head\n" + b"".join(b"<page>%d</page>\n" % i for i in range(30)) + b"</mediawiki>"
    for name, data, border in (("a.jsonl", lines, LINES), ("a.xml", pages, PAGES)):
        path = tmp_path / name
        path.write_bytes(data)
        for _ in range(40):
            cuts = [0, *sorted(rng.sample(range(1, len(data)), 5)), len(data)]
            found = read(path, cuts, border)
            assert b"".join(found) == data
            for piece in found[1:]:
                assert not piece or piece.startswith(b"<page>") or border is LINES
            if border is LINES:
                assert all(piece.endswith(b"\n") for piece in found if piece and not piece.endswith(b"no line end"))


def test_every_cut_of_a_small_file(tmp_path: Path) -> None:
    data = b"x<page>a</page><page>b</page>y"
    path = tmp_path / "a.xml"
    path.write_bytes(data)
    for cut in range(1, len(data)):
        first, second = read(path, [0, cut, len(data)], PAGES)
        assert first + second == data
        assert len(first) in (1, 15, 30)  # at a page's beginning, or all of it
        assert (len(first) == 1) == (cut <= 1)


@pytest.mark.parametrize("member", [7, 40, 1000])
def test_bzip2_members_need_not_end_with_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: int) -> None:
    monkeypatch.setattr(ranges, "_CHUNK", 64)
    data = b"<head>" + b"".join(b"<page>%d</page>\n" % i for i in range(60)) + b"</end>"
    path = tmp_path / "a.bz2"
    path.write_bytes(b"".join(bz2.compress(data[i : i + member]) for i in range(0, len(data), member)))
    with path.open("rb") as file:
        offsets = list(bzip2_members(file))
    assert len(offsets) == -(-len(data) // member)
    for step in (1, 3, 50):
        found, damage = read_members(path, [offsets[i : i + step] for i in range(0, len(offsets), step)], PAGES)
        assert b"".join(found) == data
        assert damage == []
        assert all(piece.startswith(b"<page>") for piece in found[1:] if piece)


def test_members_are_found_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = [bz2.compress(bytes([i]) * i) for i in range(1, 30)]
    starts = [sum(map(len, packed[:i])) for i in range(len(packed))]
    for chunk in (10, 11, 17, 64):
        monkeypatch.setattr(ranges, "_CHUNK", chunk)
        assert list(bzip2_members(io.BytesIO(b"".join(packed)))) == starts


def test_a_damaged_member_is_named_and_the_next_one_read(tmp_path: Path) -> None:
    members = [bz2.compress(b"<page>%d</page>" % i * 50) for i in range(3)]
    starts = [sum(map(len, members[:i])) for i in range(3)]
    path = tmp_path / "a.bz2"
    path.write_bytes(members[0] + members[1][:20] + b"\xff" * 30 + members[1][50:] + members[2])
    (found,), (damage,) = read_members(path, [starts], PAGES)
    assert found == b"<page>0</page>" * 50 + b"<page>2</page>" * 50
    assert f"damaged in the bzip2 member at byte {starts[1]}" in damage


def test_a_member_cut_short_is_named_and_what_precedes_it_read(tmp_path: Path) -> None:
    first, second = bz2.compress(b"<page>1</page>" * 50), bz2.compress(b"<page>2</page>" * 50)
    path = tmp_path / "a.bz2"
    path.write_bytes(first + second[:-9])
    (found,), (damage,) = read_members(path, [[0, len(first)]], PAGES)
    assert found.startswith(b"<page>1</page>" * 50)
    assert f"member at byte {len(first)} (the file ends within it)" in damage


@settings(max_examples=60)
@given(st.lists(st.text(alphabet="ab \r\n", max_size=12), max_size=40), st.integers(1, 60), st.integers(1, 30))
def test_chunks_joined_are_the_stream(texts: list[str], size: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_CHUNK", chunk)
        for kind, glue in (("lines", "\n"), ("text", "\n\n\n"), ("pages", "</page>")):
            data = glue.join(texts).encode()
            found = list(chunks(io.BytesIO(data), kind, size))
            assert b"".join(piece for _, piece in found) == data
            assert [offset for offset, _ in found] == [
                sum(len(piece) for _, piece in found[:i]) for i in range(len(found))
            ]
            assert all(len(piece) <= 4 * size + chunk for _, piece in found)


def test_chunks_end_with_a_record() -> None:
    data = b"".join(b'{"text": "%d"}\n' % i for i in range(1000))
    found = [piece for _, piece in chunks(io.BytesIO(data), "lines", 500)]
    assert len(found) == 1 or all(piece.endswith(b"\n") for piece in found)
    text = b"\n\n\n".join(b"Un paragraphe.\n\nEncore un, %d." % i for i in range(1000))
    pieces = [piece for _, piece in chunks(io.BytesIO(text), "text", 500)]
    assert all(piece.endswith(b"\n\n\n") for piece in pieces[:-1])


def test_a_record_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_CHUNK", 100)
    found = [piece for _, piece in chunks(io.BytesIO(b"x" * 10_000), "lines", 1000)]
    assert max(map(len, found)) <= 4100
    assert sum(map(len, found)) == 10_000
