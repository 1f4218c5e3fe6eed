"""Repaired files: the result passes the checker, nothing is invented, every change is told, no input is touched."""

import json
import os

import pytest

from jarvis_nano.corpus.instructions.checking import Against, Checks, check_file
from jarvis_nano.corpus.instructions.mending import mend_json
from jarvis_nano.corpus.instructions.reading import read_instructions
from jarvis_nano.corpus.instructions.repairing import write_repaired
from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import SPECIAL_TOKENS

CHECKS = Checks(special_tokens=SPECIAL_TOKENS)


def chat(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def pair(question, answer, **more):
    return {"instruction": question, "response": answer, **more}


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


MENDED = [  # (the row, what comes out of it, the reasons told)
    (
        chat(("user", [{"type": "text", "text": "Dis "}, {"type": "text", "text": "n.\u200b"}]), ("assistant", "N.")),
        chat(("user", "Dis n."), ("assistant", "N.")),
        ["zero-width"],
    ),
    (
        pair("Dis\u200b o.", "O.", meta={"value": 3, "text": " x "}),
        pair("Dis o.", "O.", meta={"value": 3, "text": " x "}),
        ["zero-width"],
    ),
    (pair("Code ?", "    a = 1\n    b = 2\n"), pair("Code ?", "    a = 1\n    b = 2"), ["outer-space"]),
    (pair("Dis oui.", "Oui. "), pair("Dis oui.", "Oui."), ["outer-space"]),
    (pair("CafÃ© ?", "Câ€™est prÃªt."), pair("Café ?", "C’est prêt."), ["mojibake"]),
    (pair("Dis\u200b a.", "A\x07.\r\nB."), pair("Dis a.", "A.\nB."), ["zero-width", "control-character", "crlf"]),
    (pair("Dis \u202eb.", "B."), pair("Dis b.", "B."), ["bidi"]),
    (pair("Dis c.", "C.</s>"), pair("Dis c.", "C."), ["special-token"]),
    (pair("[INST] Dis d. [/INST]", "D.<|im_end|>"), pair("Dis d.", "D."), ["special-token"]),
    (chat(("User", "Dis e."), ("bot", "E.")), chat(("user", "Dis e."), ("assistant", "E.")), ["unknown-role"]),
    (
        chat(("user", "Dis f."), ("assistant", "F."), ("user", "?")),
        chat(("user", "Dis f."), ("assistant", "F.")),
        ["last-turn"],
    ),
    ('{"instruction": "Dis g.", "response": "G.",}', pair("Dis g.", "G."), ["bad-json"]),
    ("{'instruction': 'Dis h.', 'response': 'L\\'h.'}", pair("Dis h.", "L'h."), ["bad-json"]),
    ('{"instruction": "Dis\ti.", "response": "I."}', pair("Dis\ti.", "I."), ["bad-json"]),
    ('{"instruction": "Dis j.", "response": "J.", "response": "J."}', pair("Dis j.", "J."), ["duplicate-key"]),
    (pair("Combien font 3 et 4 ?", 7), pair("Combien font 3 et 4 ?", "7"), ["wrong-type"]),
    (
        pair("Comment vas-tu ce soir ?", "Comment vas-tu ce soir ? Bien."),
        pair("Comment vas-tu ce soir ?", "Bien."),
        ["prompt-echo"],
    ),
    (
        {"instruction": "K.", "input": " x ", "output": "Y.", "history": [["a ", "b"]]},
        {"instruction": "K.", "input": "x", "output": "Y.", "history": [["a", "b"]]},
        ["outer-space"],
    ),
    (
        {"prompt": [{"role": "user", "content": "L. "}], "completion": [{"role": "assistant", "content": "M."}]},
        {"prompt": [{"role": "user", "content": "L."}], "completion": [{"role": "assistant", "content": "M."}]},
        ["outer-space"],
    ),
]
DROPPED = [
    ("{", "bad-json"),
    ('{"instruction": "Dis \udcff.", "response": "Non."}', "not-utf8"),
    ('["a"]', "not-an-object"),
    ('{"instruction": "x", "response": "Y.", "response": "Z."}', "duplicate-key"),
    (dumps({"question": "a"}), "unknown-format"),
    (dumps({"instruction": "a"}), "missing-field"),
    (dumps(pair("a", " ")), "empty-field"),
    (dumps(pair("a", ["b"])), "wrong-type"),
    ('{"instruction": "\\ud800", "response": "b"}', "bad-unicode"),
    (dumps(chat(("user", "a"), ("pirate", "b"))), "unknown-role"),
    (dumps(chat(("user", "a"), ("user", "b"), ("assistant", "c"))), "turn-order"),
    (dumps(chat(("user", "a"))), "last-turn"),
    (dumps({"text": "a"}), "no-turn-marks"),
    (dumps(pair("a", "d\ufffdaccord")), "replacement-character"),
    (dumps(pair("a <|end|> b", "c")), "special-token"),
    (dumps(pair("a", "<CALL:f{> b")), "bad-call"),
    (dumps(pair("Dis oui.", "Oui.", id=3)), "duplicate"),
]


@pytest.mark.parametrize("layout", ["{}", "\ufeff{}", "array"])
def test_what_can_be_mended_is_the_rest_dropped_and_the_result_passes(tmp_path, layout):
    rows = [row if isinstance(row, str) else dumps(row) for row, _, _ in MENDED]
    path, out = tmp_path / "i.jsonl", tmp_path / "out.jsonl"
    if layout == "array":
        text = "[\n" + ",\n".join(rows) + "\n]"
    else:
        text = layout.format("\r\n".join([*rows, *(row for row, _ in DROPPED)]))
    path.write_bytes(text.encode(errors="surrogateescape"))
    before = path.read_bytes()
    written = write_repaired([path], out, CHECKS)
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == [row for _, row, _ in MENDED]
    reasons = [change.why for change in written.changes if change.action == "repaired"]
    assert reasons == [", ".join(expected) for _, _, expected in MENDED]
    dropped = [change for change in written.changes if change.action == "dropped"]
    if layout != "array":
        assert [change.why.split(":")[0] for change in dropped] == [code for _, code in DROPPED]
        assert [change.line for change in dropped] == list(range(len(MENDED) + 1, len(MENDED) + len(DROPPED) + 1))
    report = check_file(out, CHECKS)
    assert report.count("error") == 0, report.findings
    assert path.read_bytes() == before
    again = write_repaired([out], tmp_path / "again.jsonl", CHECKS)
    assert again.changes == []
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again.jsonl", "i.jsonl", "out.jsonl"]


def test_a_number_that_json_has_not_is_no_text(tmp_path):
    rows = [
        '{"instruction": 1e400, "response": "A."}',
        '{"instruction": "Dis.", "response": NaN}',
        dumps(pair("B", "C")),
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(rows), encoding="utf-8")
    written = write_repaired([tmp_path / "in.jsonl"], tmp_path / "out.jsonl", Checks())
    assert (written.rows, written.written) == (3, 1)


def test_rows_without_fault_are_copied_as_they_stand(tmp_path):
    line = '{ "instruction":"D\\u00e9 \\/ 1.0" ,"response":"Oui.","score":1.50}'
    (tmp_path / "i.jsonl").write_text(line + "\n" + dumps(pair("a", "b ")) + "\n", encoding="utf-8")
    write_repaired([tmp_path / "i.jsonl"], tmp_path / "o.jsonl", CHECKS)
    assert (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()[0] == line


def test_repeats_across_files_and_leaks_are_dropped(tmp_path):
    one, two, out = (tmp_path / name for name in ("1.jsonl", "2.jsonl", "o.jsonl"))
    one.write_text(dumps(pair("Dis oui.", "Oui.")) + "\n" + dumps(pair("Secret ?", "A.")), encoding="utf-8")
    two.write_text(dumps(chat(("user", "Dis oui."), ("assistant", "Oui."))) + "\n" + dumps(pair("c", "d")))
    evaluation = [(1, [{"role": "user", "content": "secret"}, {"role": "assistant", "content": "B."}])]
    written = write_repaired([one, two], out, Checks(against=Against("eval.jsonl", evaluation)))
    assert [messages[0]["content"] for messages in read_instructions(out)] == ["Dis oui.", "c"]
    assert dict(written.counts) == {("dropped", "leak"): 1, ("dropped", "duplicate"): 1}


def test_ignored_rules_drop_nothing(tmp_path):
    path, out = tmp_path / "i.jsonl", tmp_path / "o.jsonl"
    path.write_text(dumps(pair("Dis le jeton <s> ici.", "Oui.")) + "\n" + dumps(pair("a", "b")) * 2, encoding="utf-8")
    assert write_repaired([path], out, CHECKS).written == 1
    checks = Checks(special_tokens=SPECIAL_TOKENS, ignore=frozenset(["special-token", "duplicate"]))
    assert write_repaired([path], out, checks).written == 3


def test_no_input_is_ever_written_over(tmp_path):
    path = tmp_path / "i.jsonl"
    path.write_text(dumps(pair("a", "b ")), encoding="utf-8")
    (tmp_path / "link.jsonl").symlink_to(path)
    (tmp_path / "hard.jsonl").hardlink_to(path)
    for out in (path, tmp_path / "link.jsonl", tmp_path / "hard.jsonl"):
        with pytest.raises(UserError, match="an input is never overwritten"):
            write_repaired([path], out, CHECKS)
    other = tmp_path / "eval.jsonl"
    other.write_text(dumps(pair("c", "d")))
    with pytest.raises(UserError, match="an input is never overwritten"):
        write_repaired([path], other, Checks(against=Against(str(other), [])))
    for name, message in {"": "is a folder", "no/o.jsonl": "is no folder", "o.jsonl.gz": "packed"}.items():
        with pytest.raises(UserError, match=message):
            write_repaired([path], tmp_path / name, CHECKS)
    assert path.read_text(encoding="utf-8") == dumps(pair("a", "b "))


def test_nothing_is_written_where_a_row_is_refused(tmp_path):
    path, out = tmp_path / "i.jsonl", tmp_path / "o.jsonl"
    rows = [pair("a", "b"), chat(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")), {"x": 1}]
    path.write_text("\n".join(map(dumps, rows)), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"2 row\(s\) cannot be written(.|\n)*i.jsonl:2: its messages(.|\n)*:3: no \"in"
    ):
        write_repaired([path], out, CHECKS, repair=False, to="seed")
    with pytest.raises(UserError, match=r"1 row\(s\) cannot be written"):
        write_repaired([path], out, CHECKS, to="seed")
    path.write_text(dumps({"x": 1}))
    with pytest.raises(UserError, match="no row is left to write"):
        write_repaired([path], out, CHECKS)
    assert os.listdir(tmp_path) == ["i.jsonl"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": ' * 100_000, "{'a':" * 50_000, ",}" * 300_000, '"' * 999_999, "{" + " " * 999_999]
)
def test_hostile_rows_are_given_up_at_once(text):
    assert mend_json(text) is None
