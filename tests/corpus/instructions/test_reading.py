"""Files to conversations: every format and layout, every fault with its line, nothing after a fault hidden."""

import bz2
import gzip
import json
import time
import tracemalloc

import pytest
import zstandard

from jarvis_nano.corpus.instructions import is_instructions, read_instructions, rows
from jarvis_nano.corpus.instructions.reading import open_rows
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


ASKED, ANSWERED = "Ça va ?", "Oui, très bien."
ONE = conversation(ASKED, ANSWERED)
TWO = conversation(ASKED, ANSWERED, "Et toi ?", "Moi aussi.", system="Sois bref.")
CALLED = conversation("Ouvre Spotify", "<CALL:open_app{'app':'Spotify'}> J'ouvre.")
FORMATS = {
    "seed": ({"instruction": ASKED, "response": ANSWERED}, ONE),
    "alpaca": ({"instruction": ASKED, "input": "", "output": ANSWERED}, ONE),
    "alpaca with input": (
        {"instruction": "Résume.", "input": "Un texte.", "output": "Court."},
        conversation("Résume.\n\nUn texte.", "Court."),
    ),
    "alpaca with all": (
        {
            "system": "Sois bref.",
            "history": [[ASKED, ANSWERED]],
            "instruction": "Et toi ?",
            "input": None,
            "output": "Moi aussi.",
        },
        TWO,
    ),
    "seed with input": (
        {"instruction": "Résume.", "input": "Un texte.", "response": "Court."},
        conversation("Résume.\n\nUn texte.", "Court."),
    ),
    "sharegpt": ({"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": ANSWERED}]}, ONE),
    "sharegpt with system": (
        {
            "system": "Sois bref.",
            "conversations": [{"from": role, "value": m["content"]} for role, m in zip(["human", "gpt"] * 2, TWO[1:])],
        },
        TWO,
    ),
    "sharegpt with roles": ({"conversations": ONE}, ONE),
    "sharegpt with a call": (
        {
            "conversations": [
                {"from": "human", "value": "Ouvre Spotify"},
                {"from": "function_call", "value": '{"name": "open_app", "arguments": {"app": "Spotify"}}'},
            ]
        },
        conversation("Ouvre Spotify", "<CALL:open_app{'app':'Spotify'}>"),
    ),
    "openai": ({"messages": TWO}, TWO),
    "openai with parts": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Ça "}, {"type": "text", "text": "va ?"}]},
                ONE[1],
            ]
        },
        ONE,
    ),
    "openai with calls": (
        {
            "messages": [
                CALLED[0],
                {
                    "role": "assistant",
                    "content": "J'ouvre.",
                    "tool_calls": [
                        {
                            "id": "x",
                            "type": "function",
                            "function": {"name": "open_app", "arguments": '{"app": "Spotify"}'},
                        }
                    ],
                },
            ]
        },
        CALLED,
    ),
    "prompt": ({"prompt": ASKED, "completion": ANSWERED}, ONE),
    "prompt of messages": ({"prompt": TWO[:-1], "completion": TWO[-1:]}, TWO),
    "text": ({"text": "<|user|>Ça va ?<|end|><|assistant|>Oui, très bien.<|end|></s>"}, ONE),
    "ChatML": (
        {
            "text": "<|im_start|>system\nSois bref.<|im_end|>\n"
            + "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in TWO[1:])
        },
        TWO,
    ),
    "Llama 2": (
        {
            "text": "<s>[INST] <<SYS>>\nSois bref.\n<</SYS>>\n\nÇa va ? [/INST] Oui, très bien. </s><s>"
            "[INST] Et toi ? [/INST] Moi aussi. </s>"
        },
        TWO,
    ),
    "Llama 3": (
        {
            "text": "<|begin_of_text|>"
            + "".join(f"<|start_header_id|>{m['role']}<|end_header_id|>\n\n{m['content']}<|eot_id|>" for m in TWO)
        },
        TWO,
    ),
    "Gemma": (
        {"text": "<bos><start_of_turn>user\nÇa va ?<end_of_turn>\n<start_of_turn>model\nOui, très bien.<end_of_turn>"},
        ONE,
    ),
    "Alpaca's text": (
        {
            "text": "Below is an instruction that describes a task.\n\n### Instruction:\nRésume.\n\n"
            "### Input:\nUn texte.\n\n### Response:\nCourt."
        },
        conversation("Résume.\n\nUn texte.", "Court."),
    ),
    "Guanaco": ({"text": "### Human: Ça va ?\n### Assistant: Oui, très bien."}, ONE),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(tmp_path, name):
    row, expected = FORMATS[name]
    assert read_instructions(write(tmp_path / "i.jsonl", row)) == [expected]


def test_formats_may_be_mixed(tmp_path):
    path = write(tmp_path / "i.jsonl", *[row for row, _ in FORMATS.values()])
    assert read_instructions(path) == [expected for _, expected in FORMATS.values()]


ROWS = [row for row, _ in FORMATS.values()]


def dumps(value, **options):
    return json.dumps(value, ensure_ascii=False, **options)


LAYOUTS = {
    "lines": "\n".join(map(dumps, ROWS)),
    "lines without an end": "\n".join(map(dumps, ROWS)) + "\n\n",
    "array": dumps(ROWS),
    "array over many lines": dumps(ROWS, indent=2),
    "array of lines": "[\n" + ",\n".join(map(dumps, ROWS)) + "\n]\n",
    "joined": "".join(map(dumps, ROWS)),
    "joined by commas": ",".join(map(dumps, ROWS)),
    "objects over many lines": "\n".join(dumps(row, indent="\t") for row in ROWS),
    "several in a line": dumps(ROWS[0]) + "\n" + "".join(map(dumps, ROWS[1:])),
    "windows": "\r\n".join(map(dumps, ROWS)),
    "byte-order mark": "\ufeff" + dumps(ROWS, indent=2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [None, gzip.compress, bz2.compress, zstandard.compress])
@pytest.mark.parametrize("chunk", [1 << 16, 7])
def test_every_layout_is_read(tmp_path, monkeypatch, layout, packed, chunk):
    monkeypatch.setattr(rows, "_CHUNK", chunk)
    data = LAYOUTS[layout].encode()
    path = tmp_path / "data"
    path.write_bytes(packed(data) if packed else data)
    assert read_instructions(path) == [expected for _, expected in FORMATS.values()]


BROKEN = '{"instruction": "a", "response": }'


@pytest.mark.parametrize("layout", ["\n".join, lambda parts: "[\n" + ",\n".join(parts) + "\n]", "".join, "\n\n".join])
@pytest.mark.parametrize(
    "broken",
    [
        BROKEN,
        '{"instruction": "a", "resp',
        '{"instruction": "a" "response": "b"}',
        '{"instruction": NaN}',
        "}",
        '{"a": "\udc80"}',
    ],
)
def test_a_bad_row_does_not_hide_the_next_ones(tmp_path, layout, broken):
    good = [dumps({"instruction": f"Dis {n}.", "response": f"{n} !"}) for n in range(6)]
    path = tmp_path / "i.json"
    path.write_bytes(layout([*good[:3], broken, *good[3:]]).encode(errors="surrogateescape"))
    with open_rows(path) as found:
        found = list(found)
    read = [row.record["instruction"] for row in found if row.record]
    if broken.endswith("resp") and layout("ab") == "ab":  # the string runs into the next row: that one is lost with it
        assert len(read) >= 5
    else:
        assert read == [f"Dis {n}." for n in range(6)]
    assert any(row.faults for row in found)


def test_lines_are_counted_in_any_layout(tmp_path):
    values = [{"instruction": f"Dis {n}.", "response": "x" * n} for n in range(200)]
    for text in (dumps(values, indent=3), "\n\n".join(dumps(value, indent=1) for value in values)):
        path = tmp_path / "i.json"
        path.write_text(text, encoding="utf-8")
        lines = text.splitlines()
        with open_rows(path) as found:
            for row, value in zip(found, values, strict=True):
                assert row.record == value
                assert lines[row.line - 1].strip() == "{"
                assert f'"Dis {value["instruction"][4:-1]}."' in lines[row.line]


def test_memory_stays_bounded_by_the_longest_row(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MAX_ROW", 1 << 16)
    good = dumps({"instruction": "Dis.", "response": "Oui."}).encode()
    path = tmp_path / "i.jsonl.gz"
    for head in (good + b"\n", b"[", b""):
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(head + b'{"instruction": "')
            for _ in range(20):
                file.write(b"a" * (1 << 20))
            file.write(b'"}\n' + good + b"\n")
        tracemalloc.start()
        with open_rows(path) as found:
            kinds = [row.faults[0].code if row.faults else "good" for row in found]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "row-too-long" in kinds
        assert kinds.count("good") == 1 + head.startswith(b"{")
        assert peak < 8 << 20, peak


def test_a_file_that_is_no_json_is_said_to_be_so(tmp_path):
    path = tmp_path / "i.jsonl"
    path.write_bytes('{"instruction": "a"}'.encode("utf-16"))
    with pytest.raises(UserError, match=r"UTF-16.*iconv"):
        read_instructions(path)
    path.write_bytes(b"PAR1....")
    with pytest.raises(UserError, match=r"Parquet.*to_json"):
        read_instructions(path)
    path.write_text("instruction,response\na,b\n")
    with pytest.raises(UserError, match=r"2 faulty line\(s\)"):
        read_instructions(path)
    path.write_text('[{"instruction": "a", "response": "b"}')
    with pytest.raises(UserError, match="the array is not closed"):
        read_instructions(path)


def test_instructions_are_told_from_a_corpus(tmp_path):
    def judged(row, name="i.jsonl"):
        return is_instructions(write(tmp_path / name, row))

    assert all(judged(row) for row in ROWS)
    assert judged(ROWS, "i.json")
    assert not judged({"text": "Il était une fois."})
    assert not judged({"text": 3})
    assert not judged({"question": "a"})
    assert not judged(ROWS[0], "i.txt")
    assert not judged(b"\xff\xfe")
    assert not is_instructions(tmp_path)
    assert not is_instructions(tmp_path / "none.jsonl")
    packed = tmp_path / "i.jsonl.zst"
    packed.write_bytes(zstandard.compress(json.dumps(ROWS[0]).encode()))
    assert is_instructions(packed)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 1_000_000,
        "[" * 1_000_000,
        "{\n" * 500_000,
        "}\n" * 50_000,
        "\n" * 1_000_000,
        '{"id":\n' * 100_000,
        '{"instruction": "a", "response": "b"}\n' + '{"id":}' * 500_000,
        '{"instruction": "a", "response": "b"},' * 30_000,
        '[{"id": "' + '\\"' * 400_000,
        "[" + "{}," * 100_000,
    ],
    ids=lambda text: text[:12] + text[-4:],
)
def test_hostile_files_are_passed_through_in_time(tmp_path, text):
    path = tmp_path / "i.jsonl"
    path.write_text(text, encoding="utf-8")
    begin = time.process_time()
    with open_rows(path) as found:
        for _ in found:
            pass
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_told(tmp_path, encoding):
    path = tmp_path / "i.jsonl"
    path.write_text(dumps({"instruction": "Dis.", "response": "Oui."}), encoding=encoding)
    with pytest.raises(UserError, match="is UTF-16"):
        read_instructions(path)


def test_deep_brackets_are_refused_wherever_they_are(tmp_path):
    deep = "[" * 300 + "]" * 300
    call = {"name": "f", "arguments": '{"a": ' + deep + "}"}
    rows = [
        '{"instruction": "a", "response": "b", "meta": ' + deep + "}",
        json.dumps({"instruction": "a", "response": "b", "tools": deep}),
        json.dumps({"messages": [ONE[0], {"role": "assistant", "tool_calls": [{"function": call}]}]}),
        dumps({"instruction": "a", "response": "[" * 300}),
    ]
    path = tmp_path / "i.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(UserError, match=r"3 faulty line\(s\)(.|\n)*line 1: JSON nested deeper(.|\n)*line 3") as caught:
        read_instructions(path)
    assert "line 4" not in str(caught.value)


def test_a_key_unknown_to_a_message_hides_no_fault_of_it(tmp_path):
    turns = [{"role": "assistant", "content": "a", "mood": "x"}, {"role": "assistant", "content": "b"}]
    for row in ({"messages": turns}, {"prompt": turns[:1], "completion": turns[1:]}):
        with pytest.raises(UserError, match="message 1 is of the assistant; expected the user"):
            read_instructions(write(tmp_path / "i.jsonl", row))


@pytest.mark.parametrize("layout", ["lines", "objects"])
def test_a_byte_order_mark_where_files_were_joined_hides_no_row(tmp_path, layout):
    found = [{"instruction": f"Dis {n}.", "response": f"{n}."} for n in range(3)]
    indent = 1 if layout == "objects" else None
    files = [dumps(row, indent=indent) + "\n" for row in found]
    path = tmp_path / "joined.jsonl"
    path.write_text(files[0] + "\ufeff" + files[1] + "\ufeff" + files[2], encoding="utf-8")
    assert len(read_instructions(path)) == 3
    with open_rows(path) as opened:
        assert not [row for row in opened if row.faults]
    assert opened.bom == files[0].count("\n") + 1
