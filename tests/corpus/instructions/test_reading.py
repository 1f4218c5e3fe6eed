"""Files to conversations: every format and layout, every fault with its line, nothing after a fault hidden."""

import json

import pytest

from jarvis_nano.corpus.instructions import read_instructions
from jarvis_nano.errors import UserError


def conversation(*texts, system=None):
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system else []) + turns


def write(path, *lines):
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return path


def test_both_formats_are_read(tmp_path):
    path = write(
        tmp_path / "i.jsonl",
        b"\xef\xbb\xbf" + json.dumps({"instruction": "Ça va ?", "response": "Oui.", "kind": "a"}).encode() + b"\r",
        b"   ",
        {"messages": [{"role": "system", "content": "s"}, *conversation("a", "b", "c", "d")], "id": 7},
        b"",
    )
    assert read_instructions(path) == [conversation("Ça va ?", "Oui."), conversation("a", "b", "c", "d", system="s")]


def test_every_fault_is_named_with_its_line(tmp_path):
    good = {"instruction": "a", "response": "b"}
    path = write(
        tmp_path / "i.jsonl",
        good,
        b'{"instruction": "a", ',
        b'{"instruction": "\xe9", "response": "b"}',
        [1],
        {"question": "a", "answer": "b"},
        good,
        {"instruction": "a", "response": " "},
        {"instruction": 3, "response": "b"},
        {"messages": "a"},
        {"messages": conversation("a")},
        {"instruction": "\udfff", "response": "b"},
        b"[" * 100_000,
    )
    with pytest.raises(UserError) as caught:
        read_instructions(path)
    text = str(caught.value)
    assert text.startswith(f"{path} has 10 faulty line(s)")
    for number, what in {
        2: "not JSON",
        3: "not UTF-8 (byte 0xe9 at 17)",
        4: "a list; expected an object",
        5: 'no "instruction" (its keys: question, answer)',
        7: '"response" is empty',
        8: '"instruction" is a number',
        9: '"messages" is not a list',
        10: "expected the assistant",
        11: "surrogate",
        12: "no JSON that can be read",
    }.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"  line {number}: ")]
        assert what in line
    assert "line 6" not in text


def test_many_faults_are_counted(tmp_path):
    with pytest.raises(UserError, match=r"25 faulty line\(s\)(.|\n)*and 15 more"):
        read_instructions(write(tmp_path / "i.jsonl", *[{}] * 25))


def test_files_that_are_no_instructions(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_instructions(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="is empty"):
        read_instructions(write(tmp_path / "empty.jsonl"))
    with pytest.raises(UserError, match="holds no conversation"):
        read_instructions(write(tmp_path / "blank.jsonl", b"", b"  ", b""))
    with pytest.raises(UserError, match="is a folder"):
        read_instructions(tmp_path)
