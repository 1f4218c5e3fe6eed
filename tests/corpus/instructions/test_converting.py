"""From each format to each other and back: the same messages, calls, tools and keys, or a refusal."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano import chat
from jarvis_nano.corpus.instructions.converting import CannotHold, convert
from jarvis_nano.corpus.instructions.formats import FORMATS, parse
from jarvis_nano.corpus.instructions.reading import read_instructions, read_records

TOOLS = [{"type": "function", "function": {"name": "open_app", "parameters": {}}}]


def render(messages):
    return "".join(piece.text for piece in chat.render(messages))


def conversation(*texts, system=None):
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system else []) + turns


def parsed(record):
    found, faults = parse(record)
    assert faults == []
    return found


def holds(messages, to):
    return to != "seed" or len(messages) == 2


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: text == text.strip() and "<" not in text
)
answers = st.one_of(
    texts,
    texts.map(lambda said: "<CALL:open_app{'app':'l\\'heure'}> " + said),
    st.just("<CALL:open_app{'a':[1,None,{'b':'}>'}]}> <CALL:stop{}>"),
)
conversations = st.builds(
    lambda system, pairs: conversation(*[text for pair in pairs for text in pair], system=system),
    st.none() | texts,
    st.lists(st.tuples(texts, answers), min_size=1, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(conversations, st.sampled_from(FORMATS), st.sampled_from(FORMATS), st.booleans())
def test_any_way_there_and_back_keeps_everything(messages, first, second, with_more):
    start = {"id": 7, "messages": messages, "kind": "x", **({"tools": TOOLS} if with_more else {})}
    seen = parsed(start)
    for to in (first, second, "openai"):
        if not holds(messages, to):
            with pytest.raises(CannotHold, match="one question and one answer"):
                convert(seen, to, render=render)
            return
        row = json.loads(json.dumps(convert(seen, to, render=render)))
        seen = parsed(row)
        assert (seen.format, seen.messages) == (to, messages)
        assert seen.extra == {"id": 7, "kind": "x"}
        assert seen.tools == (TOOLS if with_more else None)


def test_calls_become_tool_calls_numbered_through():
    answer = "<CALL:a{'x':'é'}> <CALL:b{}> Fait."
    row = convert(parsed({"messages": conversation("Va.", answer, "Et ?", "<CALL:c{'y':1}>")}), "openai")
    first, second = row["messages"][1], row["messages"][3]
    assert first["content"] == "Fait."
    assert [call["id"] for call in first["tool_calls"]] == ["call_1", "call_2"]
    assert first["tool_calls"][0] == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "a", "arguments": '{"x": "é"}'},
    }
    assert second["content"] is None
    assert second["tool_calls"][0]["id"] == "call_3"


@pytest.mark.parametrize(
    ("record", "to", "message"),
    [
        ({"messages": conversation("a", "b", "c", "d")}, "seed", "user, assistant, user, assistant"),
        ({"messages": conversation("a", "b", system="c")}, "seed", "system, user, assistant"),
        ({"instruction": "a", "response": "Fait. <CALL:f{}>"}, "openai", "a call stands behind text"),
        ({"instruction": "a", "response": "<CALL:f{> Fait."}, "openai", "no literal"),
        ({"instruction": "a <|user|> b", "response": "c"}, "text", "marks of the template"),
        ({"instruction": "a", "response": "c<|end|><|user|>d"}, "text", "marks of the template"),
        ({"instruction": "a", "response": "b", "title": "c"}, "alpaca", None),
        ({"instruction": "a", "response": "b", "text": "c"}, "text", 'its key "text" means something else'),
        ({"instruction": "a", "response": "b", "history": 3}, "alpaca", "history"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(record, to, message):
    found, _ = parse(record)
    if message is None:
        assert convert(found, to, render=render)["title"] == "c"
    elif record.get("history"):
        found = found._replace(extra={"history": 3})
        with pytest.raises(CannotHold, match=message):
            convert(found, to, render=render)
    else:
        with pytest.raises(CannotHold, match=message):
            convert(found, to, render=render)


def test_the_answers_of_tools_go_where_there_is_a_place():
    turns = [
        {"role": "user", "content": "Fait-il beau ?"},
        {"role": "assistant", "content": "<CALL:get_weather{'city':'Nice'}>"},
        {"role": "tool", "content": "soleil"},
        {"role": "assistant", "content": "Oui."},
    ]
    found, faults = parse({"messages": turns})
    assert {fault.code for fault in faults} == {"tool-turn"}
    row = convert(found, "openai")
    assert row["messages"][2] == {"role": "tool", "content": "soleil", "tool_call_id": "call_1"}
    shared = convert(found, "sharegpt")
    assert shared["conversations"][2] == {"from": "observation", "value": "soleil"}
    assert parse(shared)[0].messages == turns
    for to in ("alpaca", "prompt", "text"):
        with pytest.raises(CannotHold, match="the answer of a tool"):
            convert(found, to, render=render)


def test_spaces_at_the_ends_of_texts_come_through_every_format():
    messages = conversation(" a\n", "b ", " c", "\nd<|end|>", system=" s ")
    for to in ("alpaca", "sharegpt", "openai", "prompt", "text"):
        assert parsed(convert(parsed({"messages": messages}), to, render=render)).messages == messages


def test_the_originals_rows_come_back_byte_by_byte(shared_data, tmp_path):
    path = shared_data / "seed/jarvis_instructions.jsonl"
    for to in ("alpaca", "sharegpt", "openai", "prompt", "text"):
        there = [convert(parsed(record), to, render=render) for record in read_records(path)]
        back = [json.dumps(convert(parsed(record), "seed"), ensure_ascii=False) for record in there]
        assert "\n".join(back) + "\n" == path.read_text(encoding="utf-8")
    there = tmp_path / "i.jsonl"
    real = shared_data / "instructions/oasst1_fr.jsonl"
    for to in ("alpaca", "sharegpt", "prompt", "text"):
        rows = [json.dumps(convert(parsed(record), to, render=render)) for record in read_records(real)]
        there.write_text("\n".join(rows), encoding="utf-8")
        assert read_instructions(there) == read_instructions(real)
