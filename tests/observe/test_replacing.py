"""A file is replaced whole, or stays as it was and the error names it."""

import errno
import os

import pytest

from jarvis_nano.observe.replacing import replace_file


def test_a_file_is_replaced(tmp_path):
    for data in (b"one", b"\xc3\xa9", b""):
        replace_file(tmp_path / "a.html", data)
        assert (tmp_path / "a.html").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "a.html"
    replace_file(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"a\.html"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.html"]
