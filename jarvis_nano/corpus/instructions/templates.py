"""Turn marks inside plain text: conversations that somebody has templated already, found and taken apart again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jarvis_nano.corpus.instructions.messages import Message

# Special tokens of other templates, which a user's text should not hold: they would be live there.
FOREIGN_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|return|>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|tool_call|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
)


@dataclass(frozen=True)
class Template:
    """How one template marks a turn: a mark gives the role by its name, `ends` are cut off at a turn's end."""

    name: str
    mark: re.Pattern[str]
    roles: dict[str, str]
    ends: tuple[str, ...] = ()


_TURNS = {"user": "user", "assistant": "assistant", "system": "system"}
TEMPLATES = (
    Template("jarvis_nano", re.compile(r"<\|(user|assistant|system)\|>"), _TURNS, ("</s>", "<|end|>")),
    Template(
        "ChatML",
        re.compile(r"<\|im_start\|>(user|assistant|system)\n"),
        _TURNS,
        ("<|endoftext|>", "<|im_end|>"),
    ),
    Template(
        "Llama 3",
        re.compile(r"<\|start_header_id\|>(user|assistant|system)<\|end_header_id\|>"),
        _TURNS,
        ("<|end_of_text|>", "<|eot_id|>"),
    ),
    Template(
        "Gemma",
        re.compile(r"<start_of_turn>(user|model)\n"),
        {"user": "user", "model": "assistant"},
        ("<eos>", "<end_of_turn>"),
    ),
    Template(
        "Llama 2",
        re.compile(r"(<<SYS>>|<</SYS>>|\[INST\]|\[/INST\])"),
        {"<<SYS>>": "system", "<</SYS>>": "user", "[INST]": "user", "[/INST]": "assistant"},
        ("<s>", "</s>"),
    ),
    Template(
        "Alpaca",
        re.compile(r"^###[ ]?(Instruction|Input|Response)[ ]?:[ ]?", re.MULTILINE),
        {"Instruction": "user", "Input": "user", "Response": "assistant"},
        ("</s>",),
    ),
    Template(
        "Human/Assistant",
        re.compile(r"^###[ ]?(Human|User|System|Assistant)[ ]?:[ ]?", re.MULTILINE),
        {"Human": "user", "User": "user", "System": "system", "Assistant": "assistant"},
        ("</s>",),
    ),
)
# Text before the first mark that says nothing: the opening token, and Alpaca's standing introduction.
_OPENING = re.compile(r"\s*(?:<s>|<bos>|<\|begin_of_text\|>)?\s*(?:Below is an instruction[^#]{0,400})?")


def find_template(text: str) -> Template | None:
    """The template whose mark stands at the beginning of the text."""
    opening = _OPENING.match(text)
    begin = opening.end() if opening else 0
    return next((one for one in TEMPLATES if one.mark.match(text, begin)), None)


def split_turns(text: str, template: Template) -> list[Message]:
    """The turns of a templated text. Neighbours of one role are joined, a blank line between (Alpaca's Input)."""
    marks = list(template.mark.finditer(text))
    messages: list[Message] = []
    for mark, following in zip(marks, [*marks[1:], None]):
        content = _without_ends(text[mark.end() : following.start() if following else len(text)], template.ends)
        role = template.roles[mark[1]]
        if messages and messages[-1]["role"] == role and template.name in ("Alpaca", "Llama 2"):
            content = "\n\n".join(filter(None, (messages.pop()["content"], content)))
        if content or template.name != "Llama 2":  # [INST] <<SYS>> opens a turn that holds nothing yet
            messages.append(Message(role=role, content=content))
    return messages


def _without_ends(content: str, ends: Sequence[str]) -> str:
    """The content without the tokens that end it. What stands before <|end|> is the text to the last space."""
    if "<|end|>" in ends:
        whole = content.rstrip()
        whole = whole.removesuffix("</s>").rstrip() if whole.endswith("<|end|></s>") else whole
        if whole.endswith("<|end|>"):
            return whole.removesuffix("<|end|>")
    content = content.strip()
    for end in ends:
        content = content.removesuffix(end).rstrip()
    return content
