"""Findings from what the files say: special tokens, templates, settings that other programs obey, the vocabulary."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jarvis_nano.errors import UserError
from jarvis_nano.tokenizer import FILES, SPECIAL_TOKENS, Tokenizer
from jarvis_nano.tokenizer_lab.doctor.finding import RETRAIN, Finding
from jarvis_nano.tokenizer_lab.losses import come_back
from jarvis_nano.tokenizer_lab.settings import FileSettings

# What transformers' decode does with clean_up_tokenization_spaces.
_CLEANED = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 's", "'s"))
_SHORTEST_LIMIT = 100_000  # tokens: a model_max_length below it is one model's context, not "no limit"


def read_config(path: Path) -> dict[str, Any]:
    """tokenizer_config.json over special_tokens_map.json, as far as they lie beside the tokenizer.json."""
    folder = path if path.is_dir() else path.parent
    found: dict[str, Any] = {}
    for name in (FILES[2], FILES[1]):
        if not (folder / name).is_file():
            continue
        try:
            values = json.loads((folder / name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{folder / name} is damaged ({error}); copy it again, or remove it") from error
        if not isinstance(values, dict):
            raise UserError(f"{folder / name} holds a {type(values).__name__}; expected a JSON object")
        found |= values
    return found


def risks(tokenizer: Tokenizer, settings: FileSettings, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings of the level "risk", each confirmed by what the tokenizer or its files do."""
    yield from _chat_tokens(tokenizer)
    yield from _named_tokens(tokenizer, settings, config)
    yield from _template(tokenizer, config)
    yield from _plain_added(tokenizer)
    yield from _dropout(settings)
    yield from _cut_off(settings, config)
    if config.get("clean_up_tokenization_spaces"):
        text = "Où ? Là ! « L ' eau » ."
        back = text
        for before, after in _CLEANED:
            back = back.replace(before, after)
        yield Finding(
            "risk",
            "clean-up",
            "transformers takes the French space before ? and ! out when it decodes",
            ((text, back),),
            "tokenizer_config.json: clean_up_tokenization_spaces true",
            "set it false",
        )


def _chat_tokens(tokenizer: Tokenizer) -> Iterator[Finding]:
    missing = [token for token in SPECIAL_TOKENS if token not in tokenizer.encoder.added_tokens]
    if not missing:
        return
    some = "none of the special tokens" if len(missing) == len(SPECIAL_TOKENS) else "not all special tokens"
    yield Finding(
        "risk",
        "chat-tokens",
        f"it has {some} that training and chat need; it lacks {' '.join(missing)}: without an end of turn a model "
        "never learns to stop",
        (),
        f"added_tokens: {' '.join(tokenizer.encoder.added_tokens) or 'none'}",
        f"add them at the end of the vocabulary before training a model, or {RETRAIN}",
    )


def _named_tokens(tokenizer: Tokenizer, settings: FileSettings, config: Mapping[str, Any]) -> Iterator[Finding]:
    names = {key: _content(config.get(key)) for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
    known = tokenizer.encoder.added_tokens.keys() | settings.model["vocab"].keys()
    absent = [f"{key} {name}" for key, name in names.items() if name is not None and name not in known]
    if absent:
        yield Finding(
            "risk",
            "named-token-missing",
            f"the configuration names tokens that are not there: {', '.join(absent)}",
            (),
            "tokenizer_config.json, special_tokens_map.json",
            "name tokens of added_tokens; transformers adds missing ones past the model's embedding",
        )
    if names["pad_token"] is not None and names["pad_token"] == names["eos_token"]:
        yield Finding(
            "risk",
            "pad-is-end",
            f"padding and the end of a text are one token, {names['pad_token']}: where padding is masked in training, "
            "the end is masked with it, and the model never learns to stop",
            (),
            "tokenizer_config.json: pad_token = eos_token",
            "give padding a token of its own, such as <pad>",
        )


def _content(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _template(tokenizer: Tokenizer, config: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        prefix, suffix = tokenizer.encoder.template
    except ValueError:
        return
    for side, ids in (("before", prefix), ("after", suffix)):
        if len(set(ids)) < len(ids):
            shown = " ".join(tokenizer.piece(index) for index in ids)
            yield Finding(
                "risk",
                "template-twice",
                f"the post-processor puts a token twice {side} a text: {shown}",
                (("a", tokenizer.decode(tokenizer.encode("a", template=True))),),
                "post_processor",
                "leave each special token there once",
            )
    chat, bos = config.get("chat_template"), _content(config.get("bos_token"))
    begins = isinstance(chat, str) and bos is not None and ("bos_token" in chat or bos in chat)
    if begins and bos is not None and tokenizer.encoder.added_tokens.get(bos) in prefix:
        text = tokenizer.decode(tokenizer.encode(f"{bos}a", special=True, template=True))
        yield Finding(
            "risk",
            "template-twice",
            f"both the chat template and the post-processor begin with {bos}: a conversation gets it twice",
            ((f"{bos}a", text),),
            "tokenizer_config.json: chat_template, and post_processor",
            "take it out of one of them",
        )


def _plain_added(tokenizer: Tokenizer) -> Iterator[Finding]:
    special = {text for text in tokenizer.encoder.added_tokens if _is_special(tokenizer, text)}
    plain = [text for text in tokenizer.encoder.added_tokens if text not in special and not text.isspace()]
    taken = [text for text in plain if tokenizer.encoder.added_tokens[text] in tokenizer.encode(f"a{text}b").tolist()]
    if taken:
        yield Finding(
            "risk",
            "added-in-text",
            f"{len(taken)} added tokens are found inside ordinary text, before any word is cut: "
            + " ".join(repr(text) for text in taken[:8]),
            tuple((f"a{text}b", come_back(tokenizer, f"a{text}b")) for text in taken[:2]),
            "added_tokens: special false",
            "keep added tokens for marks that no text holds, and set special true",
        )


def _is_special(tokenizer: Tokenizer, text: str) -> bool:
    entries = FileSettings(tokenizer.encoder.raw).data.get("added_tokens") or []
    return any(entry["content"] == text and entry.get("special", False) for entry in entries)


def _dropout(settings: FileSettings) -> Iterator[Finding]:
    if settings.model.get("dropout"):
        yield Finding(
            "risk",
            "dropout",
            "merges are left out by chance: the same text has other ids each time, in use as in training",
            (),
            f"model.dropout: {settings.model['dropout']}",
            "set it null in the file that is used; BPE dropout belongs to training alone",
        )


def _cut_off(settings: FileSettings, config: Mapping[str, Any]) -> Iterator[Finding]:
    truncation = settings.data.get("truncation")
    if truncation:
        yield Finding(
            "risk",
            "truncation",
            f"other programs cut every text after {truncation.get('max_length')} tokens (jarvis_nano does not)",
            (),
            f"truncation.max_length: {truncation.get('max_length')}",
            'set "truncation": null; what a model can take is the model\'s to say',
        )
    limit = config.get("model_max_length")
    if isinstance(limit, (int, float)) and limit < _SHORTEST_LIMIT:
        yield Finding(
            "note",
            "model-max-length",
            f"transformers warns, and cuts where asked to truncate, after {limit:.0f} tokens",
            (),
            f"tokenizer_config.json: model_max_length {limit:.0f}",
            "right for one model of that context; for others raise it",
        )


_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf]|â€")


def vocabulary_notes(tokenizer: Tokenizer, settings: FileSettings, corpus: Sequence[str]) -> Iterator[Finding]:
    """Findings of the level "note": ids without a token, tokens that no text can have, tokens of broken text."""
    n_holes = tokenizer.vocab_size - len(
        set(settings.model["vocab"].values()) | set(tokenizer.encoder.added_tokens.values())
    )
    if n_holes:
        yield Finding(
            "note",
            "unused-ids",
            f"{n_holes} ids below {tokenizer.vocab_size} have no token: rows of the embedding that are never used",
            (),
            "model.vocab and added_tokens: ids with gaps",
            "harmless but for their size; decoding such an id gives nothing",
        )
    added = set(tokenizer.encoder.added_tokens.values())
    texts = {n: tokenizer.piece(n) for n in range(tokenizer.vocab_size) if n not in added}
    for name, what, cure, bad in (
        ("broken-characters", "the replacement character", "mend the corpus's encoding", lambda t: "\ufffd" in t),
        ("mojibake", "text decoded twice (Ã© for é)", "mend the corpus with ftfy", lambda t: bool(_MOJIBAKE.search(t))),
        ("control-characters", "control characters", "clean the corpus of them", _has_control),
    ):
        found = [text for text in texts.values() if len(text) > 1 and bad(text)]
        if found:
            some = " ".join(repr(text) for text in found[:5])
            yield Finding(
                "note", name, f"{len(found)} tokens hold {what}: {some}", (), "model.vocab", f"{cure}; {RETRAIN}"
            )
    yield from _unreachable(tokenizer, settings, texts, corpus)


def _has_control(text: str) -> bool:
    return any((ord(c) < 32 and c not in "\t\n\r") or 0x7F <= ord(c) < 0xA0 for c in text)


# A token that its own text does not give may still come in company: an elision needs the letter after it.
_COMPANY = [("", ""), ("a", "a"), ("a ", "a")]
_COMPANY += [pair for c in ("a", " ", "1", ".", "\n", "'") for pair in ((c, ""), ("", c))]
# Words that patterns keep whole around an apostrophe.
_WHOLE = ("aujourd'hui", "Aujourd'hui", "aujourd’hui", "Aujourd’hui")


def _unreachable(
    tokenizer: Tokenizer, settings: FileSettings, texts: Mapping[int, str], corpus: Sequence[str]
) -> Iterator[Finding]:
    """Tokens that neither the corpus nor their own text gives, alone or in company.

    A token is only ever made of its own bytes, so merging its text alone must give it, unless a cut falls inside.
    Parts of characters are passed over: no text is theirs.
    """
    used = set[int]().union(*(tokenizer.encode(text).tolist() for text in (*corpus, " ".join(_WHOLE))))
    waiting = {n: text for n, text in _whole_texts(tokenizer, settings, texts) if n not in used}
    for before, after in _COMPANY:
        rows = tokenizer.encode_batch([f"{before}{text}{after}" for text in waiting.values()], as_lists=True)
        waiting = {n: text for (n, text), row in zip(waiting.items(), rows, strict=True) if n not in row}
    # Parts of such a word come only where the rest of it was not learnt: which spelling that is, nobody knows.
    waiting = {n: text for n, text in waiting.items() if not any(text.strip(" -") in word for word in _WHOLE)}
    if not waiting:
        return
    some = " ".join(repr(text) for text in list(waiting.values())[:6])
    example = next(iter(waiting.values()))
    pieces = " · ".join(tokenizer.piece(n) for n in tokenizer.encode(example).tolist())
    yield Finding(
        "note",
        "unreachable-tokens",
        f"no text was found that gives {len(waiting)} of the tokens: {some} ({example!r} is cut into "
        f"{pieces or 'nothing'})",
        (),
        "model.merges, pre_tokenizer or normalizer: what the token is made of is cut, changed or merged otherwise",
        "rows of the embedding without a use; train with the pre-tokenizer that is used",
    )


def _whole_texts(tokenizer: Tokenizer, settings: FileSettings, texts: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    for index, piece in texts.items():
        if tokenizer.encoder.byte_level:
            try:
                text = tokenizer.encoder.decode_bytes([index]).decode("utf-8")
            except UnicodeDecodeError:
                continue
        else:
            text = piece.replace("▁", " ") if settings.marks_spaces else piece
        is_byte = len(piece) == 6 and piece.startswith("<0x")
        if text and not is_byte and piece != settings.unknown:
            yield index, text
