"""Check files of instructions, repair them, convert them; docs/instructions.md has all formats and rules.

python scripts/check_instructions.py instructions.jsonl
python scripts/check_instructions.py train.jsonl --against eval.jsonl --fix repaired.jsonl
python scripts/check_instructions.py seed.jsonl --to openai --out openai.jsonl
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from jarvis_nano.corpus.instructions import Message
from jarvis_nano.corpus.instructions.command import CheckInstructions, check_instructions
from jarvis_nano.corpus.instructions.texts import TokenizerUse
from jarvis_nano.errors import main
from jarvis_nano.tokenizer import SPECIAL_TOKENS, Tokenizer


def use_tokenizer(path: Path, context: int) -> TokenizerUse:
    tokenizer = Tokenizer.load(path)
    unknown = tokenizer.encoder.added_tokens.get("<unk>")
    if not context:
        return TokenizerUse(tokenizer.encode_list, tokenizer.decode, unknown)
    from jarvis_nano.chat import encode_conversation  # brings torch with it: seconds

    def length(messages: Sequence[Message]) -> int:
        return len(encode_conversation(tokenizer, messages)[0]) - 1

    return TokenizerUse(tokenizer.encode_list, tokenizer.decode, unknown, length, context)


def render(messages: Sequence[Message]) -> str:
    from jarvis_nano import chat

    return "".join(piece.text for piece in chat.render(messages))


def run() -> None:
    settings = tyro.cli(CheckInstructions)
    code = check_instructions(settings, special_tokens=SPECIAL_TOKENS, use_tokenizer=use_tokenizer, render=render)
    sys.exit(code)


if __name__ == "__main__":
    main(run)
