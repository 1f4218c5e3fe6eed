"""Text to ids and back: a tokenizer folder as one object. Training is tokenizer_training.py, merging kernels/bpe."""

from __future__ import annotations

import codecs
import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, overload

import numpy as np

from jarvis_nano.errors import UserError
from jarvis_nano.kernels.bpe import BpeEncoder, BpeFileError
from jarvis_nano.kernels.bpe.files import Progress
from jarvis_nano.kernels.bpe.op import Errors, Offsets, Piece, Text

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")

# Ids 0 to 7 of every tokenizer trained here. </s> ends a document, <|end|> a turn.
SPECIAL_TOKENS = ("<unk>", "<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")


class DecodeStream(Protocol):
    """Ids in, text out, one at a time: a character appears once all of its bytes are there."""

    def push(self, index: int) -> str:
        """The text that this id completes; empty while a character is unfinished."""

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that was never finished."""


class Tokenizer:
    """A tokenizer folder (or a bare tokenizer.json). Its files are held in memory, so that `save` can copy them."""

    def __init__(self, files: dict[str, bytes], *, n_threads: int | None = None) -> None:
        """files: the contents by name, tokenizer.json among them. BpeFileError if that one is damaged.

        n_threads: how many may encode a long text or a batch; None takes the cores that this process may run on.
        """
        self._files = files
        self.encoder = BpeEncoder(files["tokenizer.json"], n_threads=n_threads)
        self.hash = hashlib.sha256(files["tokenizer.json"]).hexdigest()
        if self.encoder.native:  # straight to the compiled methods: a frame of Python's costs as much as a line of text
            self.encode = self.encoder.encode  # type: ignore[method-assign]
            self.encode_list = self.encoder.encode_list  # type: ignore[method-assign]
            self.count = self.encoder.count  # type: ignore[method-assign]

    def __reduce__(self) -> tuple:
        return functools.partial(Tokenizer, n_threads=self.encoder.n_threads), (self._files,)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, n_threads: int | None = None) -> Tokenizer:
        """The tokenizer of a folder or of a tokenizer.json. UserError if it is missing, damaged or not byte-pair."""
        path = Path(path)
        folder, main = (path, path / FILES[0]) if path.is_dir() else (path.parent, path)
        if not path.exists():
            raise UserError(f"no tokenizer at {path}: no such file or folder; make one with scripts/train_tokenizer.py")
        if not main.exists():
            found = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
            raise UserError(f"{path} holds no tokenizer.json (found: {found}); pass the folder of a trained tokenizer")
        files = {FILES[0]: main.read_bytes()}
        files |= {name: (folder / name).read_bytes() for name in FILES[1:] if (folder / name).exists()}
        try:
            return cls(files, n_threads=n_threads)
        except BpeFileError as error:
            raise UserError(f"{main} is no tokenizer that can be used: {error}") from error

    @property
    def vocab_size(self) -> int:
        """One more than the largest id: the rows that an embedding needs."""
        return self.encoder.vocab_size

    @property
    def dtype(self) -> np.dtype:
        """That of the ids: uint16, or uint32 past 65,536 of them."""
        return self.encoder.dtype

    def encode(
        self, text: Text, special: bool = False, errors: Errors = "strict", template: bool = False
    ) -> np.ndarray:
        """Ids (n,) uint16, or uint32 past 65,536 ids.

        text: a str, or UTF-8 as bytes, memoryview, mmap or uint8 array. The text of special tokens is plain text
        unless `special`. With `template`, the ids that the file's post-processor puts before and after a text are
        there too. ValueError on what UTF-8 cannot hold (lone surrogates, invalid bytes), with the position;
        errors="replace" takes U+FFFD and "?" for it, as Python does.
        """
        return self.encoder.encode(text, special, errors, template)

    def encode_list(
        self, text: Text, special: bool = False, errors: Errors = "strict", template: bool = False
    ) -> list[int]:
        """encode() as a list of int: quicker for a short text, slower for a long one."""
        return self.encoder.encode_list(text, special, errors, template)

    def count(self, text: Text, special: bool = False, errors: Errors = "strict", template: bool = False) -> int:
        """How many ids a text has."""
        return self.encoder.count(text, special, errors, template)

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
        if as_lists:
            return self.encoder.encode_batch(texts, special=special, errors=errors, template=template, as_lists=True)
        return self.encoder.encode_batch(texts, special=special, errors=errors, template=template)

    def encode_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        out: str | os.PathLike[str],
        *,
        special: bool = False,
        errors: Errors = "strict",
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode each file, whole, into the file `out`; (ids as a memory map, int64 offsets (len(paths) + 1,)).

        Memory stays flat. `out` has the format of a shard, `out`.json the names, bytes and offsets; both are written
        beside and renamed. progress(bytes done, bytes in all) is called as it goes on. UserError for a file that is
        missing or not UTF-8.
        """
        return self.encoder.encode_files(paths, out, special=special, errors=errors, progress=progress)

    def offsets(self, text: Text, *, special: bool = False, errors: Errors = "strict") -> Offsets:
        """Where each id of encode(text) comes from: .bytes and .characters, int64 (n, 2) of begin and end each."""
        return self.encoder.offsets(text, special=special, errors=errors)

    def pieces(self, text: Text, *, special: bool = False, errors: Errors = "strict") -> list[Piece]:
        """What a text is cut into, for reading: (id, text, bytes, span in characters) of each id."""
        return self.encoder.pieces(text, special=special, errors=errors)

    def decode(self, ids: Iterable[int], *, special: bool = True) -> str:
        """The text of ids; special tokens show as their text, or not at all with special=False.

        decode(encode(text)) == text for a byte-level tokenizer. ValueError on an id that it does not have.
        """
        return self.encoder.decode(ids, special=special)

    def decode_stream(self, *, special: bool = True) -> DecodeStream:
        """For text that arrives id by id: the pieces joined, with the last flush, are decode() of all the ids."""
        return _ByteStream(self.encoder, special) if self.encoder.byte_level else _WindowStream(self.encoder, special)

    def piece(self, index: int) -> str:
        r"""The text of one id, for reading: bytes that are only part of a character show as \xc3."""
        return self.encoder.piece(index)

    def special_id(self, text: str) -> int:
        """The id of a special token such as "<|end|>". UserError if this tokenizer has none."""
        try:
            return self.encoder.added_tokens[text]
        except KeyError:
            known = " ".join(self.encoder.added_tokens) or "none"
            raise UserError(
                f"the tokenizer has no special token {text} (it has: {known}); train one: scripts/train_tokenizer.py"
            ) from None

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Copy the tokenizer's files into a folder, each written beside and renamed."""
        write_files(Path(folder), self._files)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        encoder = self.encoder
        by = "native" if encoder.native else f"{encoder.backend}: {encoder.why_not}"
        return f"Tokenizer({self.vocab_size} ids, pattern {encoder.scanner or 'other'}, {by}, {self.hash[:12]})"


class _ByteStream:
    """Byte-level: an incremental UTF-8 decoder holds the bytes of an unfinished character back."""

    def __init__(self, encoder: BpeEncoder, special: bool) -> None:
        self._encoder, self._special = encoder, special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, index: int) -> str:
        return self._decoder.decode(self._encoder.decode_bytes([index], special=self._special))

    def flush(self) -> str:
        return self._decoder.decode(b"", final=True)


class _WindowStream:
    """Any other decoder: its text depends on the neighbours, so all is decoded again and the new end is given."""

    def __init__(self, encoder: BpeEncoder, special: bool) -> None:
        self._encoder, self._special = encoder, special
        self._ids: list[int] = []
        self._given = ""

    def push(self, index: int) -> str:
        self._ids.append(index)
        text = self._encoder.decode(self._ids, special=self._special)
        return "" if text.endswith("\ufffd") else self._give(text)

    def flush(self) -> str:
        return self._give(self._encoder.decode(self._ids, special=self._special))

    def _give(self, text: str) -> str:
        if not text.startswith(self._given):  # the decoder changed what was given: wait until it agrees again
            return ""
        new, self._given = text[len(self._given) :], text
        return new


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder, each beside and renamed, tokenizer.json last: a reader finds all of it or nothing."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; expected a folder for the tokenizer")
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(files, key=lambda name: name == FILES[0]):
        beside = folder / f".{name}.{os.getpid()}.partial"
        try:
            beside.write_bytes(files[name])
            beside.replace(folder / name)
        except OSError as error:
            error.filename = str(folder / name)  # write(2) does not know the name; the user needs it
            raise
        finally:
            beside.unlink(missing_ok=True)
