"""Calls of tools inside an answer: <CALL:name{'key':'value'}> to OpenAI's tool_calls and back. Nothing is evaluated.

A call is read in two steps. One pass over tokens (strings, numbers, True, False, None, brackets, commas, colons)
finds its end with strings respected, and refuses everything else: names, operators, f-strings. Only what passed,
within the limits below, goes to ast.literal_eval.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_LENGTH = 65_536  # characters of the arguments
MAX_DEPTH = 32
MAX_DIGITS = 300

_HEAD = re.compile(r"<CALL:([\w-]{1,64})(?=\{)")
# What was meant as a call: <CALL …>, <call:…, <Call{…, < CALL: …; not <call id="3">, which is somebody's XML.
_ATTEMPT = re.compile(r"<[ \t]{0,4}(?:CALL\b|[Cc][Aa][Ll][Ll][ \t]{0,4}[:{])")
_ESCAPE = r"""\\(?:[\\'"abfnrtv]|0(?![0-9])|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})"""
_TOKEN = re.compile(
    rf"""[ ]*(?:
        (?P<string>'[^'\\\n\r\0]*(?:{_ESCAPE}[^'\\\n\r\0]*)*'|"[^"\\\n\r\0]*(?:{_ESCAPE}[^"\\\n\r\0]*)*")
      | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
      | (?P<word>(?:True|False|None)(?!\w))
      | (?P<open>[\[{{])
      | (?P<close>[\]}}])
      | (?P<mark>[,:])
    )""",
    re.VERBOSE,
)
_TO_ESCAPE = re.compile(r"[\x00-\x1f\x7f\\']")
_NAMED_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Call:
    """A tool's name and its arguments: what JSON can hold, with strings for keys."""

    name: str
    arguments: dict[str, Any]


class FoundCall(NamedTuple):
    """A call and where it stands in its text."""

    start: int
    end: int
    call: Call


class CallError(ValueError):
    """A call that cannot be read; `at` is the character of the text where the trouble is, `start` where it begins."""

    def __init__(self, message: str, start: int, at: int) -> None:
        super().__init__(message)
        self.start, self.at = start, at


def find_calls(text: str) -> Iterator[FoundCall | CallError]:
    """Every call of a text in order, and a CallError (not raised) for each that cannot be read."""
    position = 0
    while attempt := _ATTEMPT.search(text, position):
        try:
            found = _read_call(text, attempt.start())
        except CallError as error:
            yield error
            position = max(error.at, attempt.end())
        else:
            yield found
            position = found.end


def split_calls(text: str) -> tuple[list[Call], str]:
    """The calls that an answer begins with, and the text after them without the spaces between.

    CallError (raised) where a call cannot be read, or stands behind text.
    """
    calls: list[Call] = []
    end = 0
    for found in find_calls(text):
        if isinstance(found, CallError):
            raise found
        if text[end : found.start].strip():
            message = "a call stands behind text; expected the calls first, then what is said"
            raise CallError(message, found.start, found.start)
        calls.append(found.call)
        end = found.end
    return calls, text[end:].strip() if calls else text


def _read_call(text: str, start: int) -> FoundCall:
    head = _HEAD.match(text, start)
    if head is None:
        shown = text[start : start + 24]
        raise CallError(f"{shown!r} is no call; expected <CALL:name{{'key':'value'}}>", start, start)
    end = _end_of_literal(text, start, head.end())
    if text[end : end + 1] != ">":
        shown = text[end : end + 8] or "the end of the text"
        raise CallError(f"after the arguments stands {shown!r}; expected '>'", start, end)
    return FoundCall(start, end + 1, Call(head[1], _literal(text[head.end() : end], start, head.end())))


def _end_of_literal(text: str, start: int, begin: int) -> int:
    """Where the bracket that opens at `begin` is closed; CallError where it is not, or something else stands there."""
    open_brackets: list[str] = []
    position = begin
    while True:
        token = _TOKEN.match(text, position)
        if token is None:
            shown = text[position : position + 16].lstrip()
            if not shown:
                message = f"unbalanced: the text ends with {''.join(open_brackets)!r} open; expected its closing"
                raise CallError(message, start, len(text))
            raise CallError(f"{shown!r} is no literal; {_EXPECTED}", start, position)
        position = token.end()
        if position - begin > MAX_LENGTH:
            raise CallError(f"the arguments are longer than {MAX_LENGTH} characters", start, begin)
        kind, bracket = token.lastgroup, token[0].strip()
        if kind == "open":
            open_brackets.append(bracket)
            if len(open_brackets) > MAX_DEPTH:
                raise CallError(f"the arguments are nested deeper than {MAX_DEPTH}", start, position)
        elif kind == "close":
            if (open_brackets.pop() + bracket) not in ("{}", "[]"):
                raise CallError(f"unbalanced: {bracket!r} closes nothing", start, position - 1)
            if not open_brackets:
                return position
        elif kind == "number" and len(bracket) > MAX_DIGITS:
            raise CallError(f"a number of more than {MAX_DIGITS} digits", start, position)


_EXPECTED = "expected strings in quotes, numbers, True, False, None, lists and dicts of these"


def _literal(source: str, start: int, begin: int) -> dict[str, Any]:
    try:
        tree = ast.parse(source, mode="eval")
        value = ast.literal_eval(tree)
    except SyntaxError as error:
        at = begin + max(0, (error.offset or 1) - 1)
        raise CallError(f"the arguments are no Python dict: {error.msg}", start, at) from None
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise CallError(f"the arguments are no Python dict: {error}", start, begin) from None
    if not isinstance(value, dict):
        raise CallError("the arguments are a set; expected a dict {'key':'value'}", start, begin)
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = Counter(key.value for key in node.keys if isinstance(key, ast.Constant))
            for repeated in (key for key, n in keys.items() if n > 1):
                raise CallError(f"the key {repeated!r:.60} is there twice", start, begin)
    if fault := json_fault(value):
        raise CallError(f"the arguments hold {fault}", start, begin)
    return value


def read_literal(text: str) -> dict[str, Any]:
    """A whole text as a Python dict literal, by the rules for arguments; CallError where it is none."""
    text = text.strip()
    if not text.startswith("{"):
        raise CallError(f"{text[:16]!r} is no dict", 0, 0)
    end = _end_of_literal(text, 0, 0)
    if end != len(text):
        raise CallError(f"behind the dict stands {text[end : end + 16]!r}", 0, end)
    return _literal(text, 0, 0)


def json_fault(value: Any) -> str:
    """What keeps a value from being a call's arguments; "" if nothing does."""
    if isinstance(value, dict):
        if (bad := next((key for key in value if not isinstance(key, str)), None)) is not None:
            return f"the key {bad!r:.60}; expected a string"
        return next(filter(None, map(json_fault, [*value, *value.values()])), "")
    if isinstance(value, list):
        return next(filter(None, map(json_fault, value)), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"the number {value}, which JSON has not"
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "half of a surrogate pair"
    return "" if value is None or isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"


def write_call(call: Call) -> str:
    """The call in the seed's form, without spaces: <CALL:set_timer{'duration':'5 min'}>.

    ValueError on a name that is none, and on arguments that JSON cannot hold or a reader would refuse.
    """
    if not re.fullmatch(r"[\w-]{1,64}", call.name):
        raise ValueError(f"{call.name!r:.80} is no tool's name; expected up to 64 letters, digits, _ and -")
    if fault := json_fault(call.arguments):
        raise ValueError(f"the arguments of {call.name} hold {fault}")
    written = f"<CALL:{call.name}{_write(call.arguments)}>"
    try:
        _end_of_literal(written, 0, len(call.name) + 6)
    except CallError as error:
        raise ValueError(f"the arguments of {call.name}: {error}") from None
    return written


def _write(value: Any) -> str:
    if isinstance(value, str):
        return "'" + _TO_ESCAPE.sub(lambda found: _NAMED_ESCAPES.get(found[0], f"\\x{ord(found[0]):02x}"), value) + "'"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_write(key)}:{_write(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    return repr(value)


def join_calls(calls: Sequence[Call], said: str) -> str:
    """An answer: the calls, then what is said, a space between."""
    return " ".join([*map(write_call, calls), *([said] if said else [])])


def to_tool_calls(calls: Sequence[Call], *, first: int = 1) -> list[dict[str, Any]]:
    """OpenAI's form, with the ids call_<first>, call_<first + 1> …"""
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for number, call in enumerate(calls, start=first)
    ]


def from_tool_calls(value: Any) -> list[Call]:
    """The calls of a message's tool_calls; ValueError says what is wrong with the first faulty one."""
    if not isinstance(value, list):
        raise ValueError('"tool_calls" is no list; expected [{"type": "function", "function": {…}}, …]')
    return [_from_function(entry.get("function") if isinstance(entry, dict) else None) for entry in value]


def _from_function(function: Any) -> Call:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError('a tool call without a name; expected {"function": {"name": …, "arguments": …}}')
    name, arguments = function["name"], function.get("arguments", "{}")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}", parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the arguments of {name:.64} are no JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"the arguments of {name:.64} are no object; expected a JSON string of one")
    call = Call(name, arguments)
    try:
        write_call(call)
    except RecursionError:
        raise ValueError(f"the arguments of {name:.64} are nested deeper than {MAX_DEPTH}") from None
    return call


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
