"""BpeEncoder: text to ids and back with an unmodified tokenizer.json. Chooses who does the work; does little itself.

Three backends give the same ids: `cpp` (csrc/bpe.cpp), `library` (the `tokenizers` library, for files that our own
path does not cover) and `reference` (the readable twin, for teaching and tests).
"""

from __future__ import annotations

import copyreg
import functools
import importlib
import mmap
import os
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, Literal, overload

import numpy as np
import tokenizers

from jarvis_nano.errors import UserError

from .files import Progress, encode_files
from .patterns import PATTERNS
from .reference import Reference
from .spans import Offsets, Piece, spans_of_characters, spans_of_lengths
from .template import Template
from .tiktoken_file import MAGIC, packed, parse_ranks
from .tokenizer_file import BpeFile, BpeFileError, parse, read

__all__ = ["BACKENDS", "BpeEncoder", "BpeFileError", "Errors", "Offsets", "Piece", "Text", "extension"]

BACKENDS = ("cpp", "library", "reference")

Text = str | bytes | bytearray | memoryview | mmap.mmap | np.ndarray
"""A text: a str, or its UTF-8 in anything that lies in memory byte by byte."""

Errors = Literal["strict", "replace"]
"""What becomes of bytes that are not UTF-8 and of lone surrogates: an error, or U+FFFD and "?" as Python has it."""


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
    `library`; a backend asked for by name runs or raises ValueError with the reason. n_threads: how many the C++ path
    may use within a long text or a batch; None takes the cores that this process may run on. Truncation and padding
    settings of the file are not applied. BpeFileError (a ValueError) if the file is damaged or holds another kind of
    model.

    Everywhere: a text is a str or the bytes of its UTF-8 (bytes, memoryview, mmap, uint8 array). With `special`, the
    text of special tokens becomes their ids, else it is plain text. `errors` is "strict" (ValueError with the place of
    a byte that is not UTF-8 or of a lone surrogate) or "replace" (as Python's codecs do it). With `template`, the ids
    that the file's post-processor puts before and after a text are there too.

    Attributes: native (is the C++ path used), why_not (why it is not; empty if it is), backend, scanner (the name of
    the pattern), vocab_size (one more than the largest id), dtype (uint16, or uint32 past 65,536 ids).
    """

    def __init__(
        self, source: str | os.PathLike[str] | bytes, *, backend: str = "auto", n_threads: int | None = None
    ) -> None:
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
        self._n_threads = n_threads
        threads = _threads(n_threads)
        if self._core is not None:
            self._core.threads = threads
            self._core.source = self._raw, n_threads
            self._bind_hot_methods(self._core)
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

    @property
    def n_threads(self) -> int | None:
        """How many threads a long text or a batch may take; None stands for the cores of this process."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, value: int | None) -> None:
        threads = _threads(value)
        self._n_threads = value
        if self._core is not None:
            self._core.threads = threads
            self._core.source = self._raw, value

    def _bind_hot_methods(self, core: Any) -> None:
        # One call of a line of text takes half a microsecond: a frame of Python's around it would be a third of that.
        if self._file.template is not None:
            core.template = self._file.template
            self.encode = core.encode  # type: ignore[method-assign]
            self.encode_list = core.encode_list  # type: ignore[method-assign]
            self.count = core.count  # type: ignore[method-assign]

    def __reduce__(self) -> tuple:
        return functools.partial(BpeEncoder, backend=self.backend, n_threads=self.n_threads), (self._raw,)

    def encode(
        self, text: Text, special: bool = False, errors: Errors = "strict", template: bool = False
    ) -> np.ndarray:
        """Ids (n,) of a text, uint16 or uint32."""
        if self._core is not None and not template:
            return self._core.encode(text, special, errors)
        return np.array(self.encode_list(text, special, errors, template), dtype=self.dtype)

    def encode_list(
        self, text: Text, special: bool = False, errors: Errors = "strict", template: bool = False
    ) -> list[int]:
        """The same as a list of int: quicker for a short text, slower for a long one."""
        before, after = self.template if template else ((), ())
        if self._core is not None:
            return [*before, *self._core.encode_list(text, special, errors), *after]
        return [*before, *self._slow_ids(text, special, errors), *after]

    def count(self, text: Text, special: bool = False, errors: Errors = "strict", template: bool = False) -> int:
        """How many ids a text has."""
        return len(self.encode_list(text, special, errors, template))

    @overload
    def encode_batch(
        self,
        texts: Sequence[Text],
        *,
        special: bool = ...,
        errors: Errors = ...,
        template: bool = ...,
        as_lists: Literal[False] = ...,
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def encode_batch(
        self,
        texts: Sequence[Text],
        *,
        special: bool = ...,
        errors: Errors = ...,
        template: bool = ...,
        as_lists: Literal[True],
    ) -> list[list[int]]: ...

    def encode_batch(
        self,
        texts: Sequence[Text],
        *,
        special: bool = False,
        errors: Errors = "strict",
        template: bool = False,
        as_lists: bool = False,
    ) -> tuple[np.ndarray, np.ndarray] | list[list[int]]:
        """(ids of all texts one after the other, int64 offsets of length len(texts) + 1); or a list of ids a text."""
        one_text = isinstance(texts, (str, bytes, bytearray, memoryview, mmap.mmap))
        if one_text or (isinstance(texts, np.ndarray) and texts.dtype.kind in "uib"):
            raise TypeError("encode_batch takes a sequence of texts, not one text")
        if template:
            _ = self.template  # refused where the file has none
        if self._core is not None:
            return (self._core.encode_batch_lists if as_lists else self._core.encode_batch)(
                texts, special, errors, template
            )
        rows = [self.encode_list(text, special, errors, template) for text in texts]
        if as_lists:
            return rows
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return np.array([index for row in rows for index in row], dtype=self.dtype), offsets

    def offsets(self, text: Text, *, special: bool = False, errors: Errors = "strict") -> Offsets:
        """Where each id of encode(text) comes from: byte spans and character spans, int64 (n, 2) each.

        Where ids are the bytes of the text (byte-level, nothing normalized or stripped), the spans follow each other
        without a gap. Otherwise they are those that the `tokenizers` library gives.
        """
        plain = _checked_text(text, errors)
        utf8 = plain.encode()
        ids = self.encode(plain, special)
        if self.byte_level and self.decode_bytes(ids) == utf8:
            return spans_of_lengths(self._lengths[ids], utf8)
        encoding = self._library(special).encode(plain, add_special_tokens=False)
        assert encoding.ids == ids.tolist(), "the library's ids are others; please report this text and tokenizer"
        return spans_of_characters(encoding.offsets, utf8)

    def pieces(self, text: Text, *, special: bool = False, errors: Errors = "strict") -> list[Piece]:
        """What a text is cut into, for reading: for each id its spelling, and the bytes and span it has in the text."""
        plain = _checked_text(text, errors)
        utf8 = plain.encode()
        spans = self.offsets(plain, special=special)
        return [
            Piece(index, self.piece(index), utf8[begin:end], (first, last))
            for index, (begin, end), (first, last) in zip(
                self.encode(plain, special).tolist(), spans.bytes.tolist(), spans.characters.tolist(), strict=True
            )
        ]

    def encode_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        out: str | os.PathLike[str],
        *,
        special: bool = False,
        errors: Errors = "strict",
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(ids, offsets) of whole files, as encode_batch gives them, kept in the file `out`: see files.py."""
        return encode_files(self, paths, out, special=special, errors=errors, progress=progress)

    def can_be_cut(self, special: bool) -> bool:
        """Whether a text may be cut between a small letter and " x" without another id: no token can reach across."""
        added = [token for token in self._file.added if special or not token.special]
        odd = any(token.lstrip or token.rstrip or " " in token.content for token in added)
        return self.scanner in PATTERNS and not odd and not self._file.sections["normalizer"]

    def decode(self, ids: Iterable[int], *, special: bool = True) -> str:
        """The text of ids; bytes that are not UTF-8 become U+FFFD. Without `special`, special tokens are left out."""
        if self._file.byte_level_decoder:
            return self.decode_bytes(ids, special=special).decode("utf-8", "replace")
        indices = self._checked(ids).tolist()
        return self._library(special=False).decode(indices, skip_special_tokens=not special)

    def decode_bytes(self, ids: Iterable[int], *, special: bool = True) -> bytes:
        """The bytes of ids under a byte-level decoder. ValueError on an id outside the vocabulary."""
        if self._core is not None:
            taken = isinstance(ids, np.ndarray) and ids.dtype.isnative and ids.dtype.char in "HILQilq"
            return self._core.decode_bytes(ids if taken else self._checked(ids), special)
        checked = self._checked(ids)
        table, skipped = self._token_bytes, frozenset() if special else self._special_ids
        return b"".join([table[index] for index in checked.tolist() if index not in skipped])

    @property
    def byte_level(self) -> bool:
        """Whether an id stands for bytes wherever it occurs, so that decoding is joining."""
        return self._file.byte_level_decoder

    @property
    def template(self) -> Template:
        """The ids that the file's post-processor puts before and after one text. ValueError if it does otherwise."""
        if self._file.template is None:
            raise ValueError("the post_processor of this file is no prefix and suffix of one text; leave template=True")
        return self._file.template

    @property
    def raw(self) -> bytes:
        """The tokenizer.json."""
        return self._raw

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
    def _lengths(self) -> np.ndarray:
        return np.array([len(token) for token in self._token_bytes], dtype=np.int64)

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

    def _slow_ids(self, text: Text, special: bool, errors: Errors) -> list[int]:
        plain = _checked_text(text, errors)
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


def _core(module: ModuleType, file: BpeFile) -> Any:
    core = module.Encoder(file.native_model())
    # Bound methods go to other processes too, as in pool.map(tokenizer.encode, texts).
    copyreg.pickle(type(core), _reduce_core)
    return core


def _reduce_core(core: Any) -> tuple:
    return _core_again, core.source


def _core_again(raw: bytes, n_threads: int | None) -> Any:
    return BpeEncoder(raw, backend="cpp", n_threads=n_threads)._core


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


def _threads(asked: int | None) -> int:
    """What was asked for, or the cores that this process may run on."""
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked < 1:
        raise ValueError(f"n_threads is {asked}; expected 1 or more, or None for all cores")
    return asked


def _checked_text(text: Text, errors: Errors) -> str:
    """The text as a str that UTF-8 can hold; ValueError with the position otherwise."""
    if errors not in ("strict", "replace"):
        raise ValueError(f"errors is {errors!r}; expected 'strict' or 'replace'")
    if isinstance(text, str):
        return _whole_characters(text, errors)
    try:
        raw = bytes(memoryview(text).cast("B"))  # type: ignore[arg-type]  # numpy's stubs hide that arrays are buffers
    except TypeError as error:
        raise TypeError(f"a text is a str or bytes in memory, not {type(text).__name__} ({error})") from None
    try:
        return raw.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}") from None


def _whole_characters(text: str, errors: Errors) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        if errors == "replace":
            return text.encode("utf-8", errors).decode("utf-8")
        code = ord(text[error.start])
        raise UserError(f"lone surrogate U+{code:04X} at character {error.start}: not UTF-8") from None
    return text
