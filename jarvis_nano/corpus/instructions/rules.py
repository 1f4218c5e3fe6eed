"""The rules that instructions are checked by: their codes, which never change, how grave they are, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from jarvis_nano.corpus.instructions.messages import Fault

Severity = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class Rule:
    """What one code stands for. `unreadable`: a row with it cannot be trained on at all."""

    code: str
    severity: Severity
    what: str
    fix: str
    unreadable: bool = False


def _error(code: str, what: str, fix: str, *, unreadable: bool = False) -> Rule:
    return Rule(code, "error", what, fix, unreadable)


def _form(code: str, what: str, fix: str) -> Rule:
    return _error(code, what, fix, unreadable=True)


def _warning(code: str, what: str, fix: str) -> Rule:
    return Rule(code, "warning", what, fix)


_ALL = (
    # the file and its rows
    _form("bad-json", "a row that is no JSON", "write one JSON object a row"),
    _form("not-utf8", "bytes that are no UTF-8", "save the file as UTF-8"),
    _form("row-too-long", "a row of more than 16 MiB", "look for a quote or a line end that is missing"),
    _form("not-an-object", "a row that is JSON but no object", "write one JSON object a row"),
    _error("duplicate-key", "a key that is there twice in one object", "remove one of the two"),
    _warning("bom", "a byte-order mark before a row", "save as UTF-8 without BOM"),
    _warning("crlf", "Windows line ends (CR LF), of the file or inside a text", "save with LF line ends"),
    # the format
    _form("unknown-format", "keys that are of none of the six formats", "rename the keys to those of a format"),
    _form("missing-field", "a field or all messages missing", "add it, or remove the row"),
    _form("empty-field", "a field or message without text", "write it, or remove the row"),
    _form("wrong-type", "a value that is not the text, list or object expected", "write the value that is expected"),
    _form("bad-unicode", "half of a surrogate pair (\\ud83d alone)", "write that character whole"),
    _form("unknown-role", "a role that is not system, user or assistant", "rename it"),
    _form("tool-turn", "the answer of a tool as a turn, for which the template has no place", "remove the row"),
    _form("turn-order", "user and assistant not in turn, or a system message not at the head", "mend the order"),
    _form("last-turn", "a conversation that does not end with the assistant", "remove what follows the last answer"),
    _form("no-turn-marks", "a text without marks of turns", "text for pretraining goes to scripts/pretrain.py --data"),
    Rule("unknown-key", "notice", "a key that the format does not read", "was another key meant?"),
    # the texts
    _error("replacement-character", "U+FFFD, which stands for a lost character", "take the text from its source again"),
    _error("mojibake", "UTF-8 read in another encoding (Ã© for é)", "read the source as UTF-8"),
    _error("control-character", "control characters, which nobody sees", "remove them"),
    _error("zero-width", "zero-width characters and soft hyphens, which nobody sees", "remove them"),
    _error("bidi", "characters that turn the direction of writing", "remove them"),
    _error("special-token", "the text of one of the tokenizer's special tokens", "remove it, or remove the row"),
    _warning("foreign-token", "a special token of another model's template", "remove it, or remove the row"),
    _warning("outer-space", "white space at the ends of a text", "remove it"),
    _error("prompt-echo", "an answer that begins with the whole prompt", "keep only what follows it"),
    _warning("cut-off", "an answer whose last sentence or code block has no end", "finish it, or remove the row"),
    _warning("extreme-length", "a text of more than 32,768 characters", "look at it: is it what was meant?"),
    Rule("boilerplate", "notice", "an answer that speaks as another company's model", "rewrite it"),
    _warning("not-french", "a text in another language", "translate or remove the row, or give --language any"),
    # calls
    _form("bad-call", "a call that cannot be read", "write <CALL:name{'key':'value'}>"),
    _warning("call-place", "a call behind text", "put the calls first, then what is said"),
    _error("unknown-tool", "a call of a tool that is not among the row's", "correct the name, or define the tool"),
    _error("call-arguments", "arguments that the tool's definition does not allow", "correct the call"),
    # the tokenizer
    _error("round-trip", "a text that the tokenizer changes", "use a byte-level tokenizer, or mend the text"),
    _error("too-long", "a conversation longer than the context", "shorten it: cut, it would lose its answer"),
    # the rows together
    _error("duplicate", "a conversation that was there before", "remove the row"),
    _warning("near-duplicate", "almost the words of an earlier row", "keep one of the two"),
    _warning("conflict", "the same prompt with another answer", "decide on one, unless variety is meant"),
    _warning("repeated-answer", "one answer to many prompts", "look at it: a model will give it to everything"),
    _error("leak", "a prompt of the evaluation file", "remove the row"),
    _warning("near-leak", "almost the words of a prompt of the evaluation file", "remove the row"),
)
RULES: dict[str, Rule] = {rule.code: rule for rule in _ALL}


class Finding(NamedTuple):
    """A fault with its place: line and column count from 1, column 0 where it is not known; message 0: the row."""

    code: str
    line: int
    column: int
    message: int
    found: str
    fix: str

    @property
    def severity(self) -> Severity:
        return RULES[self.code].severity

    def as_json(self) -> dict[str, Any]:
        """For the list of --json."""
        return {"severity": self.severity, **self._asdict()}


def refuses(fault: Fault) -> bool:
    """Whether a row with this fault cannot be trained on."""
    return RULES[fault.code].unreadable
