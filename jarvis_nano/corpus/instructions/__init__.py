"""Instructions: reading six formats, checking, repairing and converting them. docs/instructions.md shows each."""

from jarvis_nano.corpus.instructions.messages import ROLES, Message, check_messages, text_fault
from jarvis_nano.corpus.instructions.reading import (
    is_instructions,
    read_instructions,
    read_numbered_instructions,
    read_records,
)

__all__ = [
    "ROLES",
    "Message",
    "check_messages",
    "is_instructions",
    "read_instructions",
    "read_numbered_instructions",
    "read_records",
    "text_fault",
]
