"""Messages of a conversation and what may be wrong with them. The template that makes ids of them is chat.py's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from jarvis_nano.errors import UserError

ROLES = ("system", "user", "assistant")


class Message(TypedDict):
    """One turn, in OpenAI's words; role is system (first only), user or assistant."""

    role: str
    content: str


class Fault(NamedTuple):
    """What is wrong with a row: the rule's code, what was found and expected, and where in the row."""

    code: str
    found: str
    message: int = 0
    """The number of the message, from 1; 0: the row."""
    text: str | None = None
    """The text in which it lies, and `at`, the character: for a column in the file."""
    at: int = 0
    line: int = 0
    """The line of the file, where it is not that of the row; 0: that of the row."""
    fix: str = ""
    """What to do, where that is not the rule's own advice."""


def check_messages(messages: Sequence[Mapping[str, Any]], *, last: str) -> None:
    """UserError unless: an optional system message, then user and assistant in turn up to `last`; none empty."""
    for fault in message_faults(messages, last=last):
        raise UserError(fault.found)


def message_faults(messages: Sequence[Mapping[str, Any]], *, last: str = "assistant") -> Iterator[Fault]:
    """The faults that check_messages refuses: of the messages one by one, or, if there are none, of their order."""
    if not messages:
        yield Fault("missing-field", "the conversation has no messages; expected at least one of the user")
        return
    one_by_one = [fault for n, message in enumerate(messages, start=1) for fault in _own_faults(message, n)]
    yield from one_by_one or _order_faults([message["role"] for message in messages], last)


def _own_faults(message: Mapping[str, Any], number: int) -> Iterator[Fault]:
    role = message.get("role")
    if role == "tool":
        found = f"message {number} has the role 'tool'; expected system, user or assistant: the template has no other"
        yield Fault("tool-turn", found, number)
    elif role not in ROLES:
        found = f"message {number} has the role {role!r:.60}; expected system, user or assistant"
        yield Fault("unknown-role", found, number)
    elif code_and_text := text_fault_code(message.get("content")):
        yield Fault(code_and_text[0], f"message {number} ({role}) is {code_and_text[1]}", number)


def _order_faults(roles: Sequence[str], last: str) -> Iterator[Fault]:
    before = 1 if roles[0] == "system" else 0
    for number, role in enumerate(roles[before:]):
        expected = "user" if number % 2 == 0 else "assistant"
        if role != expected:
            at = number + 1 + before
            yield Fault("turn-order", f"message {at} is of the {role}; expected the {expected}", at)
            return
    if roles[-1] != last:
        found = f"the last message is of the {roles[-1]}; expected the {last}"
        yield Fault("last-turn", found, len(roles))


def text_fault(value: Any) -> str:
    """What keeps a value from being the text of a message; "" if nothing does."""
    found = text_fault_code(value)
    return found[1] if found else ""


def text_fault_code(value: Any) -> tuple[str, str] | None:
    """As text_fault, with the rule's code before it; None if nothing is wrong."""
    if not isinstance(value, str):
        return "wrong-type", f"{kind_of(value)}; expected a string"
    if not value or value.isspace():
        return "empty-field", "empty; expected a text"
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        what = f"half of a surrogate pair at character {error.start}"
        return "bad-unicode", f"not valid Unicode: {what}; write that character whole"
    return None


def kind_of(value: Any) -> str:
    """What JSON calls it: "an object", "a list", "a string", "a number", "a boolean", "null"."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
