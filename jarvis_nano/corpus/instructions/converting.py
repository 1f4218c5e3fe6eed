"""A conversation in another of the six formats. What a format cannot hold is refused, never left out.

Kept: every message, the calls with their arguments, tools and the row's other keys. Not kept, for it says nothing:
the ids of tool calls (numbered anew), and where an Alpaca row parted instruction from input (a blank line now).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jarvis_nano.corpus.instructions.calls import CallError, split_calls, to_tool_calls
from jarvis_nano.corpus.instructions.formats import OWN_KEYS, Conversation
from jarvis_nano.corpus.instructions.messages import Message
from jarvis_nano.corpus.instructions.templates import find_template, split_turns

Render = Callable[[Sequence[Message]], str]


class CannotHold(ValueError):
    """What of a conversation the format has no place for."""


def convert(conversation: Conversation, to: str, *, render: Render | None = None) -> dict[str, Any]:
    """The row that a conversation in good order is in another format; its tools and other keys come along.

    render: the conversation as templated text, for "text". CannotHold where something would be lost.
    """
    writers: dict[str, Callable[[list[Message]], dict[str, Any]]] = {
        "seed": _seed,
        "alpaca": _alpaca,
        "sharegpt": _sharegpt,
        "openai": _openai,
        "prompt": _prompt,
    }
    if to == "text":
        if render is None:
            raise ValueError("the format text needs a template: pass render")
        row: dict[str, Any] = {"text": _rendered(conversation.messages, render)}
    else:
        row = writers[to](conversation.messages)
    carried = dict(conversation.extra)
    if conversation.tools is not None:
        carried["tools"] = conversation.tools
    for key, value in carried.items():
        if key in OWN_KEYS[to] or key in row:
            raise CannotHold(f'its key "{key}" means something else in the format {to}')
        row[key] = value
    # `id` first, where people look for it.
    return {"id": row.pop("id"), **row} if "id" in row else row


def _pair(messages: list[Message], name: str) -> tuple[str, str]:
    if [message["role"] for message in messages] != ["user", "assistant"]:
        roles = ", ".join(message["role"] for message in messages)
        raise CannotHold(f"its messages are {roles}; {name} holds one question and one answer")
    return messages[0]["content"], messages[1]["content"]


def _seed(messages: list[Message]) -> dict[str, Any]:
    question, answer = _pair(messages, "seed")
    return {"instruction": question, "response": answer}


def _alpaca(messages: list[Message]) -> dict[str, Any]:
    _refuse_tool_turns(messages, "alpaca")
    system = [message["content"] for message in messages if message["role"] == "system"]
    texts = [message["content"] for message in messages if message["role"] != "system"]
    history = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2])]
    row: dict[str, Any] = {"instruction": texts[-2], "input": "", "output": texts[-1]}
    if system:
        row["system"] = system[0]
    if history:
        row["history"] = history
    return row


def _sharegpt(messages: list[Message]) -> dict[str, Any]:
    names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    return {"conversations": [{"from": names[one["role"]], "value": one["content"]} for one in messages]}


def _openai(messages: list[Message]) -> dict[str, Any]:
    return {"messages": openai_messages(messages)}


def openai_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """OpenAI's messages: the calls of an answer as its tool_calls; the tools' turns point back to them in order."""
    written: list[dict[str, Any]] = []
    n_calls = 0
    unanswered: list[str] = []
    for message in messages:
        turn: dict[str, Any] = {"role": message["role"], "content": message["content"]}
        if message["role"] == "assistant":
            try:
                calls, said = split_calls(message["content"])
            except CallError as error:
                raise CannotHold(f"{error}; OpenAI's form has calls before the text only") from None
            if calls:
                tool_calls = to_tool_calls(calls, first=n_calls + 1)
                n_calls += len(calls)
                unanswered = [call["id"] for call in tool_calls]
                turn |= {"content": said or None, "tool_calls": tool_calls}
        elif message["role"] == "tool":
            turn["tool_call_id"] = unanswered.pop(0) if unanswered else f"call_{n_calls}"
        written.append(turn)
    return written


def _prompt(messages: list[Message]) -> dict[str, Any]:
    """Two strings for a question and its answer; lists of messages, as TRL has them, for anything longer."""
    _refuse_tool_turns(messages, "prompt")
    if [message["role"] for message in messages] == ["user", "assistant"]:
        return {"prompt": messages[0]["content"], "completion": messages[1]["content"]}
    return {"prompt": [dict(message) for message in messages[:-1]], "completion": [dict(messages[-1])]}


def _rendered(messages: list[Message], render: Render) -> str:
    _refuse_tool_turns(messages, "text")
    text = render(messages)
    template = find_template(text)
    if template is None or split_turns(text, template) != messages:
        raise CannotHold("a message holds marks of the template, so its turns could not be told apart again")
    return text


def _refuse_tool_turns(messages: list[Message], name: str) -> None:
    if any(message["role"] == "tool" for message in messages):
        raise CannotHold(f"it has the answer of a tool; {name} has no place for one")
