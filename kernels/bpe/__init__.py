"""Byte-pair encoding: text to ids exactly as the `tokenizers` library. op.py is the entrance, csrc/bpe.cpp the work."""

from .op import BpeEncoder, BpeFileError

__all__ = ["BpeEncoder", "BpeFileError"]
