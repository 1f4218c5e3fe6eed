"""The pattern of a template rule, `{1} {2|m}[ ({note})]`, and the file in which users keep rules of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jarvis_nano.errors import UserError

Arguments = dict[str, str]  # "1", "2"… and names -> rendered text, stripped

_TOKEN = re.compile(r"(\{\{|\}\}|\[\[|\]\])|\{([^{}|\[\]]+)(?:\|([^{}\[\]]*))?\}|([\[\]])|([^{}\[\]]+)")
_NO_NAME = re.compile(r"[{}\[\]<>#]")


def first(arguments: Mapping[str, str], *names: str) -> str:
    """The first of these arguments that is given and not empty; "" where none is."""
    for name in names:
        if value := arguments.get(name):
            return value
    return ""


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern: called with the arguments of one use, it gives the text. See compile_pattern."""

    parts: tuple[str | tuple[tuple[str, ...], str] | Pattern, ...]

    def __call__(self, arguments: Arguments) -> str:
        return self._text(arguments)[0]

    def _text(self, arguments: Arguments) -> tuple[str, bool]:
        """The text, and whether every field had a value."""
        pieces, complete = [], True
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(part)
            elif isinstance(part, Pattern):
                text, whole = part._text(arguments)
                pieces.append(text if whole else "")
            else:
                names, default = part
                value = first(arguments, *names) or default
                complete = complete and bool(value)
                pieces.append(value)
        return "".join(pieces), complete


def compile_pattern(pattern: str) -> Pattern:
    """What a template becomes, written as text with fields.

    `{1}` is the first argument, `{texte}` a named one, `{texte/1}` the first of them that is not empty, `{2|m}` has a
    default; `[, {2}]` stands only where each of its fields has a value; `{{ }} [[ ]]` are the characters themselves.
    ValueError says what is wrong.
    """
    stack: list[list] = [[]]
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise ValueError(f"a brace at column {position + 1} has no partner; write {{1}} or, for itself, {{{{")
        position = token.end()
        doubled, names, default, bracket, text = token.groups()
        if names:
            stack[-1].append((tuple(name.strip() for name in names.split("/")), default or ""))
        elif bracket == "[":
            stack.append([])
        elif bracket == "]":
            if len(stack) == 1:
                raise ValueError("] without [; write ]] for the character itself")
            group = Pattern(tuple(stack.pop()))
            stack[-1].append(group)
        else:
            stack[-1].append(text or doubled[0])
    if len(stack) > 1:
        raise ValueError("[ without ]; write [[ for the character itself")
    return Pattern(tuple(stack[0]))


def parse_rules(text: str, place: str) -> Iterator[tuple[list[str], str]]:
    """(names, pattern) of each line `name; other name | pattern`. UserError names the line of a fault.

    A line that begins with # is a comment; names that end with ; go on in the next line. An empty pattern drops the
    template.
    """
    begun = ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        line = f"{begun} {line.strip()}".strip()
        begun = ""
        if line.endswith(";") and "|" not in line and number <= text.count("\n"):
            begun = line
            continue
        if not line or line.startswith("#"):
            continue
        left, bar, pattern = line.partition("|")
        where = f"{place}, line {number}"
        names = [name.strip() for name in left.split(";")]
        if not bar:
            raise UserError(f"{where}: {line[:60]!r} has no |; expected: name; other name | text with {{1}}")
        for name in names:
            if not name or _NO_NAME.search(name):
                raise UserError(f"{where}: {name!r} is no template's name; write it as between {{{{ and the first |")
        try:
            compile_pattern(pattern.strip())
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error
        yield names, pattern.strip()


def read_rules(path: Path | str) -> dict[str, str]:
    """The user's own rules: template name -> pattern, aliases spread out.

    One rule a line, `name; other name | pattern` (compile_pattern tells the patterns); # begins a comment. UserError
    where the file cannot be read, is not UTF-8, has a faulty line, or gives one name twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"no rules at {path}; give a text file with lines such as: unité | {{1}} {{2}}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    rules: dict[str, str] = {}
    for names, pattern in parse_rules(text, str(path)):
        for name in names:
            if name in rules:
                raise UserError(f"{path}: the template {name!r} has two rules; keep one of them")
            rules[name] = pattern
    return rules
