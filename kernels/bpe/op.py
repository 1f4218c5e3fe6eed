"""BpeEncoder: text to ids and back with an unmodified tokenizer.json. Chooses who does the work; does none itself.

Three backends give the same ids: `cpp` (csrc/bpe.cpp), `library` (the `tokenizers` library, for files that our own
path does not cover) and `reference` (the readable twin, for teaching and tests).
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterable, Sequence
from types import ModuleType

import numpy as np
import tokenizers

from jarvis_nano.errors import UserError

from .reference import Reference
from .tiktoken_file import MAGIC, packed, parse_ranks
from .tokenizer_file import BpeFile, BpeFileError, parse, read

__all__ = ["BpeEncoder", "BpeFileError", "extension"]

BACKENDS = ("cpp", "library", "reference")


@functools.cache
def extension() -> tuple[ModuleType | None, str]:
    """The compiled module jarvis_nano._bpe, or None and why it cannot be used."""
    try:
        return importlib.import_module("jarvis_nano._bpe"), ""
    except ImportError as error:
        return None, f"jarvis_nano._bpe is not built ({error}); run: python setup.py build_ext --inplace"


class BpeEncoder:
    """Text to ids, exactly as `tokenizers.Tokenizer.from_file(…).encode(text, add_special_tokens=False).ids`.

    source: the path of a tokenizer.json, or its bytes. backend: "auto" takes `cpp` where it covers the file, else
    `library`; a backend asked for by name runs or raises ValueError with the reason. Truncation and padding settings
    of the file are not applied. BpeFileError (a ValueError) if the file is damaged or holds another kind of model.

    Attributes: native (is the C++ path used), why_not (why it is not; empty if it is), backend, scanner (the name of
    the pattern), vocab_size (one more than the largest id), dtype (uint16, or uint32 past 65,536 ids).
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, *, backend: str = "auto") -> None:
        self._raw = read(source)
        self._file: BpeFile = parse_ranks(self._raw) if self._raw.startswith(MAGIC) else parse(self._raw)
        self.vocab_size = self._file.n_ids
        self.dtype = np.dtype(np.uint16 if self.vocab_size <= 65_536 else np.uint32)
        self.scanner = self._file.scanner
        module, not_built = extension()
        self.why_not = self._file.why_not or not_built or _refused(module, self._file)
        self.backend = _choose(backend, self.why_not, self._file.why_not)
        if self._file.ranked_by_joined and self.backend != "cpp":
            raise ValueError(f"a tiktoken rank file needs the cpp backend: {self.why_not or 'none other can read it'}")
        self.native = self.backend == "cpp"
        self._core = _core(module, self._file) if self.native and module else None
        if self.backend == "library":
            self._library(special=False)  # a file that the library refuses is refused here, not at the first text

    @classmethod
    def from_tiktoken(
        cls, path: str | os.PathLike[str], *, pattern: str, special_tokens: dict[str, int] | None = None
    ) -> BpeEncoder:
        """The encoder of a tiktoken rank file, which says neither its pattern nor its special tokens.

        pattern: r50k_base, p50k_base, cl100k_base or o200k_base, a name of patterns.py, or a regular expression.
        The ids are those of `tiktoken.Encoding.encode_ordinary`. BpeFileError on a damaged file, ValueError where the
        pattern holds what our matcher has not, or the extension is not built: no other backend reads these files.
        """
        return cls(packed(path, pattern, special_tokens or {}))

    def __reduce__(self) -> tuple:
        return functools.partial(BpeEncoder, backend=self.backend), (self._raw,)

    def encode(self, text: str | bytes, *, special: bool = False) -> np.ndarray:
        """Ids (n,) of a text. With `special`, the text of special tokens becomes their ids, else it is plain text.

        ValueError, with the position, on bytes that are not UTF-8 and on a str with lone surrogates.
        """
        if self._core is not None:
            return self._core.encode(text, special)
        return np.array(self._slow_ids(text, special), dtype=self.dtype)

    def encode_batch(self, texts: Sequence[str | bytes], *, special: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """(ids of all texts one after the other, int64 offsets of length len(texts) + 1)."""
        if isinstance(texts, (str, bytes)):
            raise TypeError("encode_batch takes a sequence of texts, not one text")
        if self._core is not None:
            return self._core.encode_batch(texts, special)
        rows = [self._slow_ids(text, special) for text in texts]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return np.array([index for row in rows for index in row], dtype=self.dtype), offsets

    def decode(self, ids: Iterable[int], *, special: bool = True) -> str:
        """The text of ids; bytes that are not UTF-8 become U+FFFD. Without `special`, special tokens are left out."""
        if self._file.byte_level_decoder:
            return self.decode_bytes(ids, special=special).decode("utf-8", "replace")
        indices = self._checked(ids).tolist()
        return self._library(special=False).decode(indices, skip_special_tokens=not special)

    def decode_bytes(self, ids: Iterable[int], *, special: bool = True) -> bytes:
        """The bytes of ids under a byte-level decoder. ValueError on an id outside the vocabulary."""
        checked = self._checked(ids)
        if self._core is not None:
            return self._core.decode_bytes(checked, special)
        table, skipped = self._token_bytes, frozenset() if special else self._special_ids
        return b"".join([table[index] for index in checked.tolist() if index not in skipped])

    @property
    def byte_level(self) -> bool:
        """Whether an id stands for bytes wherever it occurs, so that decoding is joining."""
        return self._file.byte_level_decoder

    @functools.cached_property
    def added_tokens(self) -> dict[str, int]:
        """The tokens beside the merges, special ones among them: text to id."""
        return {token.content: token.id for token in self._file.added}

    def piece(self, index: int) -> str:
        r"""The text of one id, for reading: bytes that are only part of a character show as \xc3."""
        checked = self._checked([index])
        if self._file.byte_level_decoder:
            return self.decode_bytes(checked).decode("utf-8", "backslashreplace")
        return self._texts[index] or ""

    @functools.cached_property
    def _token_bytes(self) -> list[bytes]:
        return self._file.token_bytes()

    @functools.cached_property
    def _texts(self) -> list[str | None]:
        return self._file.texts()

    @functools.cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(token.id for token in self._file.added if token.special)

    def _checked(self, ids: Iterable[int]) -> np.ndarray:
        array = np.asarray(ids if hasattr(ids, "__len__") else list(ids))  # an iterator has no length
        if array.size == 0:
            return np.zeros(0, dtype=np.uint32)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(f"ids of shape {array.shape} and type {array.dtype}; expected one row of integers")
        if array.min() < 0 or array.max() >= self.vocab_size:
            where = int(np.argmax((array < 0) | (array >= self.vocab_size)))
            raise ValueError(f"id {array[where]} at position {where}; the tokenizer has ids 0 to {self.vocab_size - 1}")
        return np.ascontiguousarray(array, dtype=np.uint32)

    def _slow_ids(self, text: str | bytes, special: bool) -> list[int]:
        plain = _checked_text(text)
        if self.backend == "reference":
            return self._reference.encode(plain, special=special)
        return self._library(special).encode(plain, add_special_tokens=False).ids

    def _library(self, special: bool) -> tokenizers.Tokenizer:
        return self._library_special if special else self._library_plain

    @functools.cached_property
    def _reference(self) -> Reference:
        return Reference(self._file)

    @functools.cached_property
    def _library_special(self) -> tokenizers.Tokenizer:
        return _load_library(self._raw)

    @functools.cached_property
    def _library_plain(self) -> tokenizers.Tokenizer:
        # An object of its own: the switch is a state of the tokenizer, and two threads may ask for both kinds.
        tokenizer = _load_library(self._raw)
        tokenizer.encode_special_tokens = True
        return tokenizer


def _choose(asked: str, why_not_cpp: str, why_not_ours: str) -> str:
    if asked == "auto":
        return "library" if why_not_cpp else "cpp"
    if asked not in BACKENDS:
        raise ValueError(f"backend {asked!r}; expected auto, {', '.join(BACKENDS)}")
    reason = {"cpp": why_not_cpp, "reference": why_not_ours, "library": ""}[asked]
    if reason:
        raise ValueError(f"backend {asked!r} cannot run this tokenizer: {reason}")
    return asked


def _core(module: ModuleType, file: BpeFile):
    return module.Encoder(file.native_model())


def _refused(module: ModuleType | None, file: BpeFile) -> str:
    """The first pattern of the file that the compiled matcher cannot run, and why; empty if it can run them all."""
    if module is None:
        return ""
    for pattern in file.patterns:
        if reason := module.refusal(pattern, file.ranked_by_joined):
            return f"pre_tokenizer pattern {pattern!r}: {reason}"
    return ""


def _load_library(raw: bytes) -> tokenizers.Tokenizer:
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(raw)
    except ValueError as error:
        raise BpeFileError(f"the tokenizers library refuses it: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _checked_text(text: str | bytes) -> str:
    """The text as a str that UTF-8 can hold; ValueError with the position otherwise."""
    if isinstance(text, bytes):
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8: byte 0x{text[error.start]:02x} at offset {error.start}") from None
    if not isinstance(text, str):
        raise TypeError(f"a text is a str or bytes, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise UserError(f"lone surrogate U+{code:04X} at character {error.start}: not UTF-8") from None
    return text
