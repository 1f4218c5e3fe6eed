"""What is wrong with the messages of one row, beyond their form: characters, tokens, calls, echoes, language."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jarvis_nano.corpus.instructions.calls import Call, CallError, find_calls
from jarvis_nano.corpus.instructions.characters import character_faults
from jarvis_nano.corpus.instructions.formats import Conversation
from jarvis_nano.corpus.instructions.language import Asked, Detect, foreign_language
from jarvis_nano.corpus.instructions.messages import Fault, Message, kind_of
from jarvis_nano.corpus.instructions.templates import FOREIGN_TOKENS

EXTREME_LENGTH = 32_768
_ECHO_WORDS = 4  # of a prompt with something behind it
_SAME_WORDS = 8  # of a prompt that is all of the answer
# The same sentence, not a new one: « Le soleil se lève à » answered by « Le soleil se lève à l'est. »
_GOES_ON = re.compile(r"[,;]?[ \xa0\u202f]{1,4}([^\W\d_])")
_LIST_ITEM = re.compile(r"\s*(?:[-*•–—#>|]|\d+[.)])")
_SENTENCE_END = re.compile(r"[.!?…][\s»\")]")
_BOILERPLATE = re.compile(
    r"en tant qu(?:e |['’])(?:grand )?(?:modèle|ia\b|intelligence artificielle|assistant virtuel)"
    r"|as an? (?:large )?(?:ai\b|language model)|(?:je suis|i am|i'm) (?:chatgpt|gpt)"
    r"|(?:je suis|j['’]ai été|i am|i'm|i was)[^.!?\n]{0,60} (?:développée?|créée?|entraînée?|conçue?) par openai"
    r"|(?:i am|i'm|i was)[^.!?\n]{0,60} (?:developed|created|trained) by openai"
)
_BOILERPLATE_HINTS = ("en tant qu", "as a", "chatgpt", "openai", "suis gpt")


@dataclass(frozen=True)
class TokenizerUse:
    """What is needed of a tokenizer. encode and decode: of one text; length: the ids of a whole conversation, less
    the last, which is a target only; None without a limit."""

    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    unknown: int | None = None
    length: Callable[[Sequence[Message]], int] | None = None
    context: int = 0


class TextRules:
    """The rules on one row, with what they need."""

    def __init__(
        self, *, special_tokens: Sequence[str], detect: Detect | None = None, tokenizer: TokenizerUse | None = None
    ) -> None:
        self._special = _any_of(special_tokens)
        self._foreign = _any_of([token for token in FOREIGN_TOKENS if token not in special_tokens])
        self._detect, self._tokenizer = detect, tokenizer

    def faults(self, conversation: Conversation) -> Iterator[Fault]:
        """All that is wrong with the texts of a conversation, message by message."""
        asked, asked_so_far = "", Asked()
        for number, message in enumerate(conversation.messages, start=1):
            text, role = message["content"], message["role"]
            yield from character_faults(text, number)
            if "<" in text or "[" in text:
                yield from self._token_faults(text, number)
            if (text[0].isspace() or text[-1].isspace()) and without_outer_space(text) != text:
                yield Fault("outer-space", f"message {number} begins or ends with white space", number, text)
            if len(text) > EXTREME_LENGTH:
                found = f"message {number} has {len(text):,} characters; expected at most {EXTREME_LENGTH:,}"
                yield Fault("extreme-length", found, number, text)
            lowered = text.lower()
            if role == "assistant":
                said = text
                if "<" in text and "call" in lowered:
                    said = yield from _call_faults(text, number, conversation.tools)
                yield from _answer_faults(said, said.lower() if said is not text else lowered, asked, text, number)
            elif role == "user":
                asked = lowered
                asked_so_far.add(lowered)
            if self._detect and role != "system":
                language = foreign_language(lowered, asked_so_far, self._detect)
                if language:
                    yield Fault("not-french", f"message {number} ({role}) is {language}", number, text)
        if self._tokenizer:
            yield from _tokenizer_faults(conversation.messages, self._tokenizer)

    def _token_faults(self, text: str, number: int) -> Iterator[Fault]:
        for code, pattern in (("special-token", self._special), ("foreign-token", self._foreign)):
            if pattern and (first := pattern.search(text)):
                found = f"message {number} has the text {first[0]} at character {first.start() + 1}"
                yield Fault(code, found, number, text, first.start())


def _any_of(tokens: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))) if tokens else None


def without_outer_space(text: str) -> str:
    """The text without white space at its ends; but where other lines are indented as the first is, that is code."""
    stripped = text.strip()
    indentation = text[: len(text) - len(text.lstrip())].rpartition("\n")[2]
    is_code = indentation and not indentation.strip(" \t") and f"\n{indentation}" in stripped
    return indentation + stripped if is_code else stripped


def strip_tokens(text: str, tokens: Sequence[str]) -> str:
    """The text without tokens at its very ends, where a template has left them behind."""
    while True:
        before, text = text, text.strip()
        for token in tokens:
            text = text.removeprefix(token).removesuffix(token)
        if text == before:
            return text


# -- answers ---------------------------------------------------------------------------------------------------------


def _answer_faults(said: str, lowered: str, asked: str, text: str, number: int) -> Iterator[Fault]:
    if prompt_echo(said, lowered, asked):
        yield Fault("prompt-echo", f"message {number} begins with the whole of the message before it", number, text)
    if cut := _cut_off(said):
        yield Fault("cut-off", f"message {number} ends {cut}", number, text, len(text) - 1)
    if any(hint in lowered for hint in _BOILERPLATE_HINTS) and (found := _BOILERPLATE.search(lowered)):
        at = text.lower().find(found[0])
        yield Fault("boilerplate", f"message {number} says {found[0]!r}", number, text, max(0, at))


def prompt_echo(answer: str, lowered: str, asked: str) -> int:
    """How many characters of an answer repeat the prompt before it; 0 where it is not all of it, or a word or two.

    `lowered`: the answer in lower case, `asked`: the prompt in lower case.
    """
    prompt = asked.strip().rstrip(" ?!.:…\xa0\u202f")
    if not prompt or not lowered.startswith(prompt) or lowered[len(prompt) : len(prompt) + 1].isalnum():
        return 0
    goes_on = _GOES_ON.match(answer, len(prompt)) if len(lowered) == len(answer) else None
    if goes_on and goes_on[1].islower() and prompt == asked.strip():
        return 0
    # « Au revoir et à bientôt ! » is a right answer to itself.
    n_words = prompt.count(" ") + 1
    needed = _ECHO_WORDS if any(map(str.isalnum, lowered[len(prompt) :])) else _SAME_WORDS
    return len(prompt) if n_words >= needed else 0


def _cut_off(said: str) -> str:
    """How an answer breaks off; "" if it ends as answers do, or is no prose that has an end."""
    if said.count("```") % 2:
        return "with a code block open"
    text = said.rstrip()
    if not text or not (text[-1].isalpha() or text[-1] in ",;('’-–"):
        return ""
    last_line = text[text.rfind("\n") + 1 :]
    words = last_line.split()
    if len(words) < 8 or "." in words[-1] or "=" in last_line or _LIST_ITEM.match(last_line):
        return ""
    if len(_SENTENCE_END.findall(text)) < 2:
        return ""
    return f"without the end of its last sentence: …{text[-30:]!r}"


# -- calls -----------------------------------------------------------------------------------------------------------


def _call_faults(text: str, number: int, tools: list[Any] | None) -> Any:
    """The faults of an answer's calls; returns what is said after them."""
    end = 0
    for found in find_calls(text):
        if isinstance(found, CallError):
            message = f"message {number}, character {found.at + 1}: {found}"
            yield Fault("bad-call", message, number, text, found.start)
            return text
        if text[end : found.start].strip():
            yield Fault("call-place", f"message {number} has a call behind text", number, text, found.start)
        if tools:
            yield from _tool_faults(found.call, tools, text, found.start, number)
        end = found.end
    return text[end:].strip()


def _tool_faults(call: Call, tools: list[Any], text: str, at: int, number: int) -> Iterator[Fault]:
    functions = [tool["function"] if isinstance(tool.get("function"), dict) else tool for tool in tools]
    known = {str(function.get("name")): function for function in functions}
    if call.name not in known:
        names = ", ".join(list(known)[:6])
        found = f"message {number} calls {call.name!r}; the row's tools are {names}"
        yield Fault("unknown-tool", found, number, text, at)
        return
    schema = known[call.name].get("parameters")
    if not isinstance(schema, dict):
        return
    for problem in _argument_problems(call.arguments, schema):
        found = f"message {number}, call of {call.name}: {problem}"
        yield Fault("call-arguments", found, number, text, at)


_JSON_TYPES = {"string": str, "boolean": bool, "array": list, "object": dict}


def _argument_problems(arguments: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """The part of JSON Schema that tools use: required, properties, their type and enum."""
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if isinstance(name, str) and name not in arguments:
            yield f"the argument {name!r} is missing"
    for name, value in arguments.items():
        declared = properties.get(name)
        if properties and declared is None:
            yield f"the argument {name!r} is unknown; expected {', '.join(map(str, properties))}"
        if not isinstance(declared, dict):
            continue
        expected = declared.get("type")
        if isinstance(expected, str) and expected in _JSON_TYPES and not isinstance(value, _JSON_TYPES[expected]):
            yield f"the argument {name!r} is {kind_of(value)}; expected a {expected}"
        elif expected in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, int | float)):
            yield f"the argument {name!r} is {kind_of(value)}; expected a number"
        choices = declared.get("enum")
        if isinstance(choices, list) and value not in choices:
            yield f"the argument {name!r} is {json.dumps(value, ensure_ascii=False):.60}; expected one of {choices}"


# -- the tokenizer ---------------------------------------------------------------------------------------------------


def _tokenizer_faults(messages: Sequence[Message], tokenizer: TokenizerUse) -> Iterator[Fault]:
    for number, message in enumerate(messages, start=1):
        text = message["content"]
        ids = tokenizer.encode(text)
        decoded = tokenizer.decode(ids)
        if decoded != text:
            pairs = zip(text + "\0", decoded + "\0")
            at = next((n for n, (one, other) in enumerate(pairs) if one != other), len(text))
            found = f"message {number}: {text[at : at + 12]!r} comes back as {decoded[at : at + 12]!r}"
            yield Fault("round-trip", found, number, text, at)
        elif tokenizer.unknown is not None and tokenizer.unknown in ids:
            yield Fault("round-trip", f"message {number} has characters unknown to the tokenizer", number, text)
    if tokenizer.length and tokenizer.context and (n := tokenizer.length(messages)) > tokenizer.context:
        found = f"{n} tokens after templating; expected at most {tokenizer.context}: cut, it loses its answer"
        yield Fault("too-long", found)
