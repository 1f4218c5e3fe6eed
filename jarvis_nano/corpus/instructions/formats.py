"""Six formats of instructions, told apart by their keys, row by row, as one kind of conversation. Writing them:
converting.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jarvis_nano.corpus.instructions.calls import from_tool_calls, join_calls
from jarvis_nano.corpus.instructions.messages import Fault, Message, kind_of, message_faults, text_fault_code
from jarvis_nano.corpus.instructions.rows import MAX_DEPTH, nesting
from jarvis_nano.corpus.instructions.templates import find_template, split_turns

FORMATS = ("seed", "alpaca", "sharegpt", "openai", "prompt", "text")
ROLE_NAMES = {  # as they are written in the wild
    "human": "user",
    "prompter": "user",
    "utilisateur": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "developer": "system",
    "système": "system",
    "observation": "tool",
    "function": "tool",
}
# ShareGPT has no fixed names; OpenAI's are fixed, and any other is a fault.
_SHAREGPT_ROLES = {"human", "gpt", "chatgpt", "bot", "bard", "bing", "model", "observation", "function_call"}
OWN_KEYS = {
    "seed": {"instruction", "response"},
    "alpaca": {"instruction", "input", "output", "response", "system", "history"},
    "sharegpt": {"conversations", "system"},
    "openai": {"messages"},
    "prompt": {"prompt", "completion"},
    "text": {"text"},
}
# What rows carry along and no reader trips over; a key that is neither these nor the format's may be a misspelt one.
CARRIED = frozenset(
    ("id", "kind", "source", "category", "lang", "language", "license", "licence", "meta", "metadata", "tags", "title")
    + ("date", "url", "split", "dataset", "topic", "quality", "weight", "score", "tools", "conversation_id", "author")
    + ("message_tree_id", "user_id", "model", "parallel_tool_calls")
)
_MESSAGE_KEYS = {"role", "content", "from", "value", "name", "weight", "tool_calls", "tool_call_id", "refusal"}


class Conversation(NamedTuple):
    """A row of any format. Calls stand at the head of an answer as <CALL:…>, wherever the format keeps them."""

    format: str
    messages: list[Message]
    tools: list[Any] | None
    """The definitions of tools, as OpenAI writes them, where the row has any."""
    extra: dict[str, Any]
    """The row's other keys."""


def detect(record: dict[str, Any]) -> str | None:
    """The format whose keys a row has; None where there is no such format."""
    if "messages" in record:
        return "openai"
    if "conversations" in record:
        return "sharegpt"
    if "instruction" in record:
        # A seed's row with an input would lose it.
        return "alpaca" if "output" in record or record.get("input") or record.get("history") else "seed"
    if "prompt" in record or "completion" in record:
        return "prompt"
    if "text" in record:
        return "text"
    if "response" in record:
        return "seed"
    return "alpaca" if "output" in record else None


def is_conversation(record: dict[str, Any]) -> bool:
    """Whether a row is an instruction rather than a document of a corpus, whose rows have a text too."""
    found = detect(record)
    if found == "text":
        return isinstance(record["text"], str) and find_template(record["text"]) is not None
    return found is not None


def parse(record: dict[str, Any]) -> tuple[Conversation | None, list[Fault]]:
    """The conversation of a row, with all that is wrong with its form; None only where no message can be made out."""
    found = detect(record)
    if found is None:
        keys = ", ".join(list(record)[:6]) or "none"
        expected = 'expected "instruction" and "response", or "messages"'
        return None, [Fault("unknown-format", f'no "instruction" (its keys: {keys:.200}); {expected}')]
    faults: list[Fault] = []
    messages = _PARSERS[found](record, faults)
    tools = _tools(record.get("tools"), faults) if "tools" in record else None
    own = OWN_KEYS[found]
    extra = {key: value for key, value in record.items() if key not in own and key != "tools"}
    if extra and not CARRIED.issuperset(extra):
        faults += [Fault("unknown-key", _unknown_key(key, found)) for key in extra if key not in CARRIED]
    return Conversation(found, messages, tools, extra), faults


def _unknown_key(key: str, format_name: str) -> str:
    read = ", ".join(sorted(OWN_KEYS[format_name]))
    return f'the key "{key:.60}" is unknown to the format {format_name}, which reads {read}'


def _field(record: dict[str, Any], key: str, role: str, faults: list[Fault], number: int) -> list[Message]:
    """The message that a field is; none, with a fault, where it is missing or not a text."""
    if key not in record:
        keys = ", ".join(list(record)[:6]) or "none"
        seed = '"instruction" and "response", or "messages"'
        expected = seed if key in ("instruction", "response") else f'"{key}"'
        faults.append(Fault("missing-field", f'no "{key}" (its keys: {keys:.200}); expected {expected}', number))
        return []
    value = record[key]
    if fault := text_fault_code(value):
        faults.append(Fault(fault[0], f'"{key}" is {fault[1]}', number))
        return []
    return [Message(role=role, content=value)]


def _optional(record: dict[str, Any], key: str, faults: list[Fault]) -> str:
    """A field that may be left out, null or empty."""
    value = record.get(key)
    if value is None or value == "":
        return ""
    if fault := text_fault_code(value):
        faults.append(Fault(fault[0], f'"{key}" is {fault[1]}'))
        return ""
    return str(value)


def _seed(record: dict[str, Any], faults: list[Fault]) -> list[Message]:
    return [
        *_field(record, "instruction", "user", faults, 1),
        *_field(record, "response", "assistant", faults, 2),
    ]


def _alpaca(record: dict[str, Any], faults: list[Fault]) -> list[Message]:
    messages: list[Message] = []
    if system := _optional(record, "system", faults):
        messages.append(Message(role="system", content=system))
    history = record.get("history")
    if isinstance(history, list):
        for number, pair in enumerate(history, start=1):
            if not (isinstance(pair, list | tuple) and len(pair) == 2):
                found = f'entry {number} of "history" is {kind_of(pair)}; expected [question, answer]'
                faults.append(Fault("wrong-type", found))
                continue
            messages += _field({"history": pair[0]}, "history", "user", faults, len(messages) + 1)
            messages += _field({"history": pair[1]}, "history", "assistant", faults, len(messages) + 1)
    elif history is not None:
        faults.append(Fault("wrong-type", f'"history" is {kind_of(history)}; expected a list of [question, answer]'))
    asked = _field(record, "instruction", "user", faults, len(messages) + 1)
    given = _optional(record, "input", faults)
    if asked and given:
        asked[0]["content"] += "\n\n" + given
    answer = "response" if "response" in record and "output" not in record else "output"
    return [*messages, *asked, *_field(record, answer, "assistant", faults, len(messages) + 2)]


def _sharegpt(record: dict[str, Any], faults: list[Fault]) -> list[Message]:
    turns = record["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        found = '"conversations" is not a list of objects; expected [{"from": …, "value": …}, …]'
        faults.append(Fault("wrong-type", found))
        return []
    system = _optional(record, "system", faults)
    messages = [Message(role="system", content=system)] if system else []
    for number, turn in enumerate(turns, start=1):
        name, value = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
        role = ROLE_NAMES.get(name, name) if isinstance(name, str) and name in _SHAREGPT_ROLES else name
        if role == "function_call":
            role, value = "assistant", _function_call(value, number, faults)
        messages.append(Message(role=role, content=value))  # type: ignore[typeddict-item]
        faults += _unknown_message_keys(turn, number)
    return _checked(messages, faults)


def _function_call(value: Any, number: int, faults: list[Fault]) -> Any:
    """ShareGPT's call, {"name": …, "arguments": {…}} in a string, as <CALL:…>."""
    try:
        loaded = json.loads(value) if isinstance(value, str) else value
        functions = loaded if isinstance(loaded, list) else [loaded]
        return join_calls(from_tool_calls([{"function": function} for function in functions]), "")
    except (ValueError, RecursionError) as error:
        faults.append(Fault("bad-call", f"message {number} (assistant): {error}", number))
        return None


def _openai(record: dict[str, Any], faults: list[Fault]) -> list[Message]:
    return _checked(_openai_messages(record["messages"], "messages", faults), faults)


def _openai_messages(turns: Any, name: str, faults: list[Fault]) -> list[Message]:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        found = f'"{name}" is not a list of objects; expected [{{"role": …, "content": …}}, …]'
        faults.append(Fault("wrong-type", found))
        return []
    messages: list[Message] = []
    for number, turn in enumerate(turns, start=1):
        role, content = turn.get("role"), turn.get("content")
        if isinstance(content, list):
            content = _joined_parts(content, number, faults)
        if turn.get("tool_calls"):
            try:
                content = join_calls(from_tool_calls(turn["tool_calls"]), content if isinstance(content, str) else "")
            except ValueError as error:
                faults.append(Fault("bad-call", f"message {number} ({role}): {error}", number))
        messages.append(Message(role="system" if role == "developer" else role, content=content))  # type: ignore
        if len(turn) > 2:
            faults += _unknown_message_keys(turn, number)
    return messages


def part_texts(parts: list[Any]) -> list[str] | None:
    """The texts of a content given in parts; None where one is no text."""
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    return texts if all(isinstance(text, str) for text in texts) else None  # type: ignore[return-value]


def _joined_parts(parts: list[Any], number: int, faults: list[Fault]) -> Any:
    """The text of a content given in parts; None, with a fault, where one is no text."""
    if (texts := part_texts(parts)) is not None:
        return "".join(texts)
    kinds = [part.get("type") if isinstance(part, dict) else kind_of(part) for part in parts]
    found = f'message {number} has the parts {kinds!r:.120}; expected {{"type": "text", "text": …}} only'
    faults.append(Fault("wrong-type", found, number))
    return None


def _unknown_message_keys(turn: dict[str, Any], number: int) -> Iterable[Fault]:
    for key in turn:
        if key not in _MESSAGE_KEYS:
            yield Fault("unknown-key", f'the key "{key:.60}" of message {number} is unknown', number)


def _checked(messages: list[Message], faults: list[Fault]) -> list[Message]:
    """The messages whose text can be read; faults of the rest, unless one was told before."""
    serious = [fault for fault in faults if fault.code != "unknown-key"]
    told = {fault.message for fault in serious if fault.message}
    if messages or not serious:
        faults += [fault for fault in message_faults(messages) if fault.message not in told]
    return _readable(messages)


def _readable(messages: list[Message]) -> list[Message]:
    return [one for one in messages if text_fault_code(one["content"]) is None and isinstance(one["role"], str)]


def _prompt(record: dict[str, Any], faults: list[Fault]) -> list[Message]:
    if not isinstance(record.get("prompt"), list) and not isinstance(record.get("completion"), list):
        return [
            *_field(record, "prompt", "user", faults, 1),
            *_field(record, "completion", "assistant", faults, 2),
        ]
    messages: list[Message] = []
    for key in ("prompt", "completion"):
        value = record.get(key)
        if key not in record or isinstance(value, str):
            messages += _field(record, key, "user" if key == "prompt" else "assistant", faults, 0)
        else:
            messages += _openai_messages(value, key, faults)
    serious = any(fault.code != "unknown-key" for fault in faults)
    return _readable(messages) if serious else _checked(messages, faults)


def _text(record: dict[str, Any], faults: list[Fault]) -> list[Message]:
    message = _field(record, "text", "user", faults, 0)
    if not message:
        return []
    text = message[0]["content"]
    template = find_template(text)
    if template is None:
        found = f'"text" has no marks of turns ({text[:40]!r}…); expected a templated conversation'
        faults.append(Fault("no-turn-marks", found))
        return []
    return _checked(split_turns(text, template), faults)


def _tools(value: Any, faults: list[Fault]) -> list[Any] | None:
    """The definitions; a string of JSON, as some files have it, is read."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value) if nesting(value) <= MAX_DEPTH else None
        except (ValueError, RecursionError) as error:
            faults.append(Fault("wrong-type", f'"tools" is a string that is no JSON: {error}'))
            return None
        if value is None:
            faults.append(Fault("wrong-type", f'"tools" is null or JSON nested deeper than {MAX_DEPTH}'))
            return None
    if value in (None, "", []):
        return None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        faults.append(Fault("wrong-type", f'"tools" is {kind_of(value)}; expected a list of objects'))
        return None
    return value


_PARSERS: dict[str, Callable[[dict[str, Any], list[Fault]], list[Message]]] = {
    "seed": _seed,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "openai": _openai,
    "prompt": _prompt,
    "text": _text,
}
