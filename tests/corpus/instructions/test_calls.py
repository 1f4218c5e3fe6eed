"""Calls: read without evaluating anything, refused with a place, and the same after any way there and back."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jarvis_nano.corpus import actions
from jarvis_nano.corpus.instructions.calls import (
    MAX_DEPTH,
    MAX_LENGTH,
    Call,
    CallError,
    find_calls,
    from_tool_calls,
    join_calls,
    read_literal,
    split_calls,
    to_tool_calls,
    write_call,
)
from jarvis_nano.corpus.instructions.reading import read_instructions

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    "'\"\\{}<>[]:,\n\t\x00 CALéx0", max_size=20
)
scalars = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | text
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)
names = st.from_regex(r"\A[A-Za-z_][\w-]{0,20}\Z")
calls = st.builds(Call, names, st.dictionaries(text, values, max_size=4))
said = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda one: "<" not in one).map(str.strip)


@settings(max_examples=60, deadline=None)
@given(st.lists(calls, max_size=3), said)
def test_calls_are_the_same_there_and_back(made, answer):
    written = join_calls(made, answer)
    assert split_calls(written) == (made, answer)
    openai = json.loads(json.dumps(to_tool_calls(made)))
    back = from_tool_calls(openai)
    assert back == made
    assert [type(value) for call in back for value in call.arguments.values()] == [
        type(value) for call in made for value in call.arguments.values()
    ]
    assert join_calls(back, answer) == written
    assert all("\n" not in write_call(call) for call in made)


@settings(max_examples=100, deadline=None)
@given(st.text("<CALL:ab{}[]'\",:0\\ \n(*-u", max_size=60))
def test_any_text_is_read_or_refused(text):
    for found in find_calls("<CALL:f{" + text):
        if isinstance(found, CallError):
            assert 0 <= found.start <= found.at <= len(text) + 8
        else:
            assert split_calls(write_call(found.call)) == ([found.call], "")


def test_the_originals_calls_are_read(shared_data):
    rows = read_instructions(shared_data / "seed/jarvis_instructions.jsonl")
    found = [split_calls(messages[1]["content"]) for messages in rows]
    assert sum(bool(made) for made, _ in found) == 61
    assert all(said for _, said in found)
    for (made, said), messages in zip(found, rows):
        assert join_calls(made, said) == messages[1]["content"]
    assert split_calls("<CALL:add{'task':'boire de l\\'eau'}> Oui.") == (
        [Call("add", {"task": "boire de l'eau"})],
        "Oui.",
    )


def test_the_built_in_calls_are_written_alike():
    arguments = {"app": "l'heure", "path": "a\\b"}
    assert write_call(Call("open_app", arguments)) == actions.call("open_app", arguments)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("<CALL:f{'a':'b'>", "'>' is no literal", 15),
        ("<CALL:f{'a':'b'", "unbalanced: the text ends with '{' open", 15),
        ("<CALL:f{'a':['b'}>", "unbalanced: '}' closes nothing", 16),
        ("<CALL:f{'a':'b'}", "after the arguments stands 'the end of the text'", 16),
        ("<CALL:f{'a':'b'} >", "after the arguments stands ' >'", 16),
        ("<CALL:f{'a':'b}> Oui.", "is no literal", 12),
        ("<CALL:f('a')>", "is no call", 0),
        ("<CALL f{}>", "is no call", 0),
        ("<call:f{}>", "is no call", 0),
        ("<CALL:f{'a':9**9**9}>", "'**9**9}>' is no literal", 13),
        ("<CALL:f{'a':__import__('os')}>", "is no literal", 12),
        ("<CALL:f{'a':f'{1}'}>", "is no literal", 12),
        ("<CALL:f{'a':b'x'}>", "is no literal", 12),
        ("<CALL:f{'a':(1,2)}>", "is no literal", 12),
        ("<CALL:f{'a':1+2j}>", "is no literal", 13),
        ("<CALL:f{'a':1e999}>", "the number inf, which JSON has not", 7),
        ("<CALL:f{'a':007}>", "is no literal", 12),
        ("<CALL:f{1:'a'}>", "the key 1; expected a string", 7),
        ("<CALL:f{'a':1,'a':2}>", "the key 'a' is there twice", 7),
        ("<CALL:f{'':1,'':2}>", "the key '' is there twice", 7),
        ("<CALL:f{'a':{'b':1,'b':2}}>", "the key 'b' is there twice", 7),
        ("<CALL:f{'a'}>", "a set; expected a dict", 7),
        ("<CALL:f{'a' 'b'}>", "a set; expected a dict", 7),
        ("<CALL:f{'a':{[1]}}>", "no Python dict", 7),
        ("<CALL:f{'a':,}>", "no Python dict", None),
        ("<CALL:f{'a':'\\d'}>", "is no literal", 12),
        ("<CALL:f{'a':'\\ud800'}>", "half of a surrogate pair", 7),
        ("<CALL:f{'a':" + "1" * 400 + "}>", "a number of more than 300 digits", None),
        ("<CALL:f{'a':" + "[" * 100_000 + "]" * 100_000 + "}>", f"nested deeper than {MAX_DEPTH}", None),
        ("<CALL:f" + "{'a':" * 100_000, f"nested deeper than {MAX_DEPTH}", None),
        ("<CALL:f{'a':'" + "b" * 70_000 + "'}>", f"longer than {MAX_LENGTH}", None),
        ("<CALL:f{'a':" + "-" * 100_000 + "1}>", "is no literal", None),
        ("<CALL:f{'a':'x'" + ",'b':1" * 20_000 + "}>", f"longer than {MAX_LENGTH}", None),
    ],
)
def test_what_is_no_call_is_refused_with_its_place(text, message, at):
    begin = time.process_time()
    with pytest.raises(CallError) as caught:
        split_calls(text)
    assert message in str(caught.value)
    assert caught.value.start == 0
    if at is not None:
        assert caught.value.at == at
    assert time.process_time() - begin < 1


def test_strings_with_brackets_do_not_end_a_call():
    arguments = {"a": "}> <CALL:g{", "b": ['"', {"c": "'}"}]}
    text = write_call(Call("f", arguments)) + " Fait."
    assert split_calls(text) == ([Call("f", arguments)], "Fait.")
    with pytest.raises(CallError, match="a call stands behind text") as caught:
        split_calls("Fait. " + write_call(Call("f", {})))
    assert caught.value.start == 6


@pytest.mark.parametrize(
    ("tool_calls", "message"),
    [
        ({}, "no list"),
        ([{"type": "function"}], "without a name"),
        ([{"function": {"name": "f", "arguments": "{"}}], "arguments of f are no JSON"),
        ([{"function": {"name": "f", "arguments": '{"a": NaN}'}}], "NaN is no JSON number"),
        ([{"function": {"name": "f", "arguments": "[1]"}}], "no object"),
        ([{"function": {"name": "f g", "arguments": "{}"}}], "no tool's name"),
        ([{"function": {"name": "f", "arguments": '{"a": "\\ud800"}'}}], "surrogate"),
        ([{"function": {"name": "f", "arguments": '{"a": ' + "[" * 50 + "]" * 50 + "}"}}], "nested deeper"),
        ([{"function": {"name": "f", "arguments": '{"a": ' + "[" * 100_000}}], "no JSON"),
    ],
)
def test_tool_calls_that_are_none_are_refused(tool_calls, message):
    with pytest.raises(ValueError, match=message):
        from_tool_calls(tool_calls)


def test_a_python_dict_is_read():
    assert read_literal(" {'a': True, 'b': [None, -1.5]} ") == {"a": True, "b": [None, -1.5]}
    for wrong in ("", "[1]", "{'a': 1} x", "{'a': 1}}", "dict()"):
        with pytest.raises(CallError):
            read_literal(wrong)


def test_a_bad_call_does_not_hide_the_next():
    error, found = find_calls("<CALL:a{'x':> et <CALL:b{}> Fait.")
    assert isinstance(error, CallError)
    assert (error.start, found.call) == (0, Call("b", {}))
