"""One row mended where nothing has to be invented: characters, ends of texts, names of roles, what follows the last
answer, almost-JSON. What stays wrong is for repairing.py to drop."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from jarvis_nano.corpus.instructions.calls import CallError, read_literal
from jarvis_nano.corpus.instructions.characters import character_faults, mend_characters
from jarvis_nano.corpus.instructions.formats import ROLE_NAMES, parse, part_texts
from jarvis_nano.corpus.instructions.messages import ROLES
from jarvis_nano.corpus.instructions.rows import Row
from jarvis_nano.corpus.instructions.templates import find_template
from jarvis_nano.corpus.instructions.texts import prompt_echo, strip_tokens, without_outer_space

_TEXT_KEYS = {"instruction", "response", "input", "output", "system", "prompt", "completion", "text", "value"}
_TEXT_KEYS |= {"content"}
_TURN_KEYS = ("messages", "conversations", "prompt", "completion")
_STRING_OR_COMMA = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|,(?=\s{0,1000}[}\]])', re.DOTALL)
_LENIENT = json.JSONDecoder(strict=False)


class Mender:
    """Rows mended; `tokens`: those that are cut off where a template has left them at a text's end."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens

    def mend(self, row: Row) -> tuple[dict[str, Any] | None, list[str]]:
        """The row's record with what can be mended, and the rules' codes for that."""
        done: list[str] = []
        record = row.record
        if record is None:
            record = mend_json(row.raw) if row.faults and row.faults[0].code == "bad-json" else None
            if record is None:
                return None, []
            done.append("bad-json")
        elif any(fault.code == "duplicate-key" for fault in row.faults):
            done.append("duplicate-key")
        record = {key: self._mend_value(value, key, done) for key, value in record.items()}
        for key, name in (("messages", "role"), ("conversations", "from")):
            if isinstance(record.get(key), list) and all(isinstance(turn, dict) for turn in record[key]):
                record = {**record, key: _mend_turns(record[key], name, done)}
        return self._without_echoes(record, done), list(dict.fromkeys(done))

    def _mend_value(self, value: Any, key: str, done: list[str]) -> Any:
        """A value with the texts of its messages mended; what other keys carry is left alone."""
        if key in _TURN_KEYS and isinstance(value, list):
            return [self._mend_turn(turn, done) if isinstance(turn, dict) else turn for turn in value]
        if key == "history" and isinstance(value, list):
            return [
                [self._mend_value(text, "input", done) for text in pair] if isinstance(pair, list) else pair
                for pair in value
            ]
        if key in _TEXT_KEYS and isinstance(value, str):
            return self._mend_text(value, done, is_template=key == "text" and find_template(value) is not None)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in _TEXT_KEYS and is_number and math.isfinite(value):
            done.append("wrong-type")
            return json.dumps(value)
        return value

    def _mend_turn(self, turn: dict[str, Any], done: list[str]) -> dict[str, Any]:
        turn = dict(turn)
        for key in turn.keys() & {"content", "value"}:
            if isinstance(turn[key], list) and (texts := part_texts(turn[key])) is not None:
                turn[key] = "".join(texts)  # the space at a part's end is one between words
            turn[key] = self._mend_value(turn[key], key, done)
        return turn

    def _mend_text(self, text: str, done: list[str], is_template: bool) -> str:
        mended = mend_characters(text)
        if mended != text:
            done += [fault.code for fault in character_faults(text, 0)]
        stripped = without_outer_space(mended)
        if stripped != mended:
            done.append("outer-space")
        if not is_template and ("<" in stripped or "[" in stripped):
            bare = strip_tokens(stripped, self._tokens)
            if bare != stripped:
                done.append("special-token")
                stripped = bare
        return stripped

    def _without_echoes(self, record: dict[str, Any], done: list[str]) -> dict[str, Any]:
        """The answers without the prompt that they begin with, where anything follows it."""
        conversation, _ = parse(record)
        messages = conversation.messages if conversation else []
        bare: dict[str, str] = {}
        for before, message in pairwise(messages):
            if (before["role"], message["role"]) != ("user", "assistant"):
                continue
            answer = message["content"]
            n = prompt_echo(answer, answer.lower(), before["content"].lower())
            rest = answer[n:].lstrip(" \t\n?!.:…\xa0\u202f-—")
            if n and len(answer.lower()) == len(answer) and rest:
                bare[answer] = rest
                done.append("prompt-echo")
        return _replaced(record, bare) if bare else record


def _mend_turns(turns: list[dict[str, Any]], name: str, done: list[str]) -> list[dict[str, Any]]:
    """Roles by their usual names, and nothing behind the last answer."""
    mended = []
    for turn in turns:
        role = turn.get(name)
        usual = _usual_role(role) if name == "role" and isinstance(role, str) else role
        if usual != role:
            done.append("unknown-role")
            turn = {**turn, name: usual}
        mended.append(turn)
    answers = {"assistant", "gpt", "chatgpt", "bot", "bard", "bing", "model", "function_call"}
    n = len(mended)
    while n > 2 and str(mended[n - 1].get(name, mended[n - 1].get("role"))) not in answers:
        n -= 1
    if n > 1 and n < len(mended):
        done.append("last-turn")
        return mended[:n]
    return mended


def _usual_role(role: str) -> str:
    plain = role.strip().lower()
    if role == "developer":  # OpenAI's newer name, which is read as it is
        return role
    usual = ROLE_NAMES.get(plain, plain)
    return usual if usual in ROLES else role


def _replaced(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, texts) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, texts) for inner in value]
    return texts.get(value, value) if isinstance(value, str) else value


def mend_json(raw: str) -> dict[str, Any] | None:
    """The object of a row that is almost JSON: with commas too many, raw line ends in strings, or a Python dict."""
    without_commas = _STRING_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], raw).strip()
    for text in (raw, without_commas):
        with suppress(ValueError, RecursionError):
            found, end = _LENIENT.raw_decode(text)
            # What follows a row of an array is not the row's.
            return found if isinstance(found, dict) and not text[end:].strip(" \t\r\n,]") else None
    with suppress(CallError):
        return read_literal(without_commas.rstrip(",] \t\r\n"))
    return None
