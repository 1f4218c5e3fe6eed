"""Findings of the level "loses": the traces of texts that did not come back, put together by their cause."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from jarvis_nano.tokenizer_lab.doctor.finding import RETRAIN, Finding
from jarvis_nano.tokenizer_lab.doctor.stages import Blame, Trace

SHOWN = 5

_UNFOLD = 'use {"type": "NFC"} or no normalizer when training: ids of another text need another vocabulary; ' + RETRAIN
# By the rule of a blame: (name, what, cure).
_RULES = {
    "drops characters": (
        "dropped-characters",
        "spaces and line ends, or other characters between words, are dropped before the model sees them",
        f"a byte-level pre-tokenizer keeps every character; {RETRAIN}",
    ),
    "joins tokens with spaces": (
        "no-decoder",
        "decoding puts a space between any two tokens, for the file has no decoder",
        "give the decoder that belongs to the pre-tokenizer (ByteLevel for ByteLevel, Metaspace for Metaspace); words "
        f"that were cut without their spaces cannot be joined rightly by any: {RETRAIN}",
    ),
    "has no token for characters": (
        "unknown-characters",
        "characters without a token are lost",
        "train with all 256 bytes in the vocabulary (byte-level, or model.byte_fallback true with <0x00> to <0xFF>); "
        + RETRAIN,
    ),
    "adds a space": (
        "added-space",
        "a space is put before the text and stays there",
        "set add_prefix_space false (prepend_scheme never), or add the decoder that takes it off again",
    ),
    "leaves its own spelling": (
        "wrong-decoder",
        "the decoder leaves the byte alphabet (Ġ, Ã©) in the text",
        'set "decoder": {"type": "ByteLevel"}',
    ),
    "changes what the tokens say": (
        "wrong-decoder",
        "the tokens hold the text, and the decoder changes it",
        "take the decoder that belongs to the pre-tokenizer, without clean-up",
    ),
    "is not spelt in bytes": (
        "not-in-bytes",
        "the vocabulary and the decoder are of bytes (é is Ã©), and no step spells the text so: all but plain letters "
        "is dropped or broken",
        'add {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false} as the last pre_tokenizer',
    ),
    "takes more than an added token's text": (
        "greedy-added-token",
        "an added token takes the spaces around it along, or stands for another text than its own",
        "set its lstrip, rstrip and normalized false, or take it out of added_tokens",
    ),
    "spells parts of words apart": (
        "affixes",
        "the ends (or inner parts) of words have tokens of their own, and some letters have none",
        f"a vocabulary without affixes; {RETRAIN}",
    ),
    "takes a character for its own": (
        "reserved-character",
        "▁ in a text comes back as a space, for the vocabulary writes spaces so",
        "rare in French; a byte-level tokenizer has no such character",
    ),
    "unexplained": (
        "unexplained",
        "texts do not come back, for a reason that the doctor does not know",
        f"do not train on it; {RETRAIN}",
    ),
}
_NORMALIZERS = {
    "NFKC": "characters become others that look or mean alike (² 2, … ..., ﬁ fi, no-break space, space)",
    "NFKD": "characters become others (² 2, … ...), and accents are parted from their letters",
    "NFD": "accents are parted from their letters",
    "NFC": "letters and accents of their own become one character: the text means the same, its bytes differ",
    "Lowercase": "capitals are lost",
    "StripAccents": "accents are lost",
    "Strip": "spaces at the ends are lost",
    "BertNormalizer": "control characters, and by its switches accents and capitals, are lost",
    "Replace": "a character or an expression is replaced for good",
}


def losses(traces: Sequence[Trace], in_data: Sequence[Trace], n_lines: int) -> list[Finding]:
    """One finding a cause. `in_data`: the traces of lines of the data, of which n_lines were tried."""
    by_cause: dict[Blame, list[Trace]] = {}
    for trace in (*traces, *in_data):
        for blame in trace.blames:
            by_cause.setdefault(blame, []).append(trace)
    hit = {blame: sum(blame in trace.blames for trace in in_data) for blame in by_cause}
    return [_finding(blame, some, hit[blame] / max(1, n_lines)) for blame, some in by_cause.items()]


def _finding(blame: Blame, traces: list[Trace], share: float) -> Finding:
    what, name, cure = "", "", ""
    if blame.rule.startswith("normalizes by "):
        kind = blame.rule.removeprefix("normalizes by ")
        name, cure = f"normalizer-{kind.lower()}", _UNFOLD
        what = _NORMALIZERS.get(kind, "the normalizer changes characters for good")
    else:
        name, what, cure = _RULES[blame.rule]
    lost = "".join(dict.fromkeys("".join(trace.lost for trace in traces)))
    if lost and blame.rule == "has no token for characters":
        what += f": {' '.join(_visible(lost))}"
    why = f"{blame.path}: {blame.setting}" if blame.setting else blame.path
    return Finding("loses", name, what, _shown(traces), why, cure, share)


def _shown(traces: Iterable[Trace]) -> tuple[tuple[str, str], ...]:
    """The first, which are those of the commonest characters, without those that only a computer tells apart."""
    ranked = sorted(traces, key=lambda trace: (_looks_alike(trace), len(trace.blames) > 2, len(trace.text) > 48))
    return tuple(dict.fromkeys((_short(trace.text), _short(trace.back)) for trace in ranked))[:SHOWN]


def _looks_alike(trace: Trace) -> bool:
    return unicodedata.normalize("NFC", trace.text) == unicodedata.normalize("NFC", trace.back)


def _short(text: str) -> str:
    return text if len(text) <= 48 else text[:47] + "…"


def _visible(characters: str) -> list[str]:
    """At most 24 characters for reading; what cannot be seen by its number."""
    shown = [c if c.isprintable() and not c.isspace() else f"U+{ord(c):04X}" for c in characters[:24]]
    return [*shown, f"and {len(characters) - 24} more"] if len(characters) > 24 else shown
