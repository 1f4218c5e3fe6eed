"""French grammar by minimal pairs: of two sentences that differ in one point, does the model prefer the right one?

The method is that of BLiMP (Warstadt et al. 2020); the pairs are this project's own, one file a phenomenon in
minimal_pairs/. No answer is generated and nothing is drawn, so the same weights always get the same score.
Judging what a model writes freely is stories.py's work.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from jarvis_nano.data.batches import NO_TARGET, PAD
from jarvis_nano.errors import UserError
from jarvis_nano.model import Transformer
from jarvis_nano.tokenizer import Tokenizer

FOLDER = Path(__file__).parent / "minimal_pairs"


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in one point of grammar."""

    good: str
    bad: str


@dataclass(frozen=True)
class Title:
    """What a phenomenon is called in a chart, and one of its pairs."""

    fr: str
    en: str
    example: Pair


TITLES: dict[str, Title] = {
    "subject_verb": Title(
        "Accord du verbe avec son sujet",
        "Subject–verb agreement",
        Pair(
            "Le panier de pommes rouges est sous le chêne.",
            "Le panier de pommes rouges sont sous le chêne.",
        ),
    ),
    "gender": Title(
        "Genre du nom, de l'article et de l'adjectif",
        "Gender of articles and adjectives",
        Pair("Le hibou chante dans la forêt.", "Le hibou chante dans le forêt."),
    ),
    "number_of_adjectives": Title(
        "Nombre de l'adjectif",
        "Number of adjectives",
        Pair("Les petits lapins dorment dans l'herbe.", "Les petit lapins dorment dans l'herbe."),
    ),
    "participle_etre": Title(
        "Participe passé avec être",
        "Past participle with être",
        Pair("La princesse est partie avant le jour.", "La princesse est parti avant le jour."),
    ),
    "participle_avoir": Title(
        "Participe passé avec avoir",
        "Past participle with avoir",
        Pair("La pomme que le renard a mangée était rouge.", "La pomme que le renard a mangé était rouge."),
    ),
    "elision": Title(
        "Élision et h aspiré",
        "Elision and the aspirated h",
        Pair("L'arbre du jardin est très vieux.", "Le arbre du jardin est très vieux."),
    ),
    "contraction": Title(
        "Articles contractés : du, des, au, aux",
        "Contracted articles: du, des, au, aux",
        Pair("Le renard sortit du bois.", "Le renard sortit de le bois."),
    ),
    "negation": Title(
        "Négation : ne … pas, jamais, rien, personne",
        "Negation: ne … pas, jamais, rien, personne",
        Pair("Le roi ne dit rien à la reine.", "Le roi dit pas rien à la reine."),
    ),
    "clitic_order": Title(
        "Ordre des pronoms devant le verbe",
        "Order of clitic pronouns",
        Pair("La fée me le donne en souriant.", "La fée le me donne en souriant."),
    ),
    "subjunctive": Title(
        "Subjonctif ou indicatif",
        "Subjunctive or indicative",
        Pair("Il faut que tu viennes avec moi dans la forêt.", "Il faut que tu viens avec moi dans la forêt."),
    ),
    "auxiliary": Title(
        "Auxiliaire : être ou avoir",
        "Auxiliary: être or avoir",
        Pair("Le renard est parti dans la forêt.", "Le renard a parti dans la forêt."),
    ),
    "pronoun_gender": Title(
        "Genre et nombre du pronom",
        "Gender and number of pronouns",
        Pair("La clé est petite, mais elle est jolie.", "La clé est petite, mais il est jolie."),
    ),
    "question_inversion": Title(
        "Inversion dans la question",
        "Inversion in questions",
        Pair("A-t-il trouvé la clé du coffre ?", "A-il trouvé la clé du coffre ?"),
    ),
}
"""Every phenomenon of minimal_pairs/, in the order of charts and tables."""


def load(folder: Path = FOLDER) -> dict[str, list[Pair]]:
    """The pairs of each phenomenon, read from <phenomenon>.tsv: known ones in the order of TITLES, then by name.

    A line is good<TAB>bad, UTF-8 in NFC. UserError, with file and line, for one that is not; for a pair that stands
    there twice; and where the folder has no such file.
    """
    order = {name: place for place, name in enumerate(TITLES)}
    files = sorted(folder.glob("*.tsv"), key=lambda file: (order.get(file.stem, len(order)), file.stem))
    if not files:
        raise UserError(f"{folder} holds no .tsv file of sentence pairs; install jarvis_nano again")
    return {file.stem: _read(file) for file in files}


def _read(file: Path) -> list[Pair]:
    pairs: dict[Pair, int] = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        place = f"{file}, line {number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{place}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
        fields = text.split("\t")
        if len(fields) != 2 or not all(fields) or any(field != field.strip() for field in fields):
            raise UserError(f"{place}: expected a good sentence, one tab and a bad one, found {text!r}")
        if not unicodedata.is_normalized("NFC", text):
            raise UserError(f"{place}: accents apart from their letters; normalise the file to NFC")
        pair = Pair(*fields)
        if pair.good == pair.bad:
            raise UserError(f"{place}: both sentences are {pair.good!r}; they must differ")
        if pair in pairs:
            raise UserError(f"{place}: the same pair as in line {pairs[pair]}; remove one")
        pairs[pair] = number
    if not pairs:
        raise UserError(f"{file} is empty; expected lines of a good sentence, one tab and a bad one")
    return list(pairs)


def subset(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """`count` pairs evenly spread over all of them, always the same ones; all of them for 0 or where there are fewer.

    The files begin with the easy sentences: an even spread keeps their share. UserError on a count below 0.
    """
    if count < 0:
        raise UserError(f"{count} pairs a phenomenon; expected 0 (all of them) or more")
    n = len(pairs)
    return list(pairs) if not 0 < count < n else [pairs[i * n // count] for i in range(count)]


@torch.inference_mode()
def log_probabilities(
    model: Transformer, tokenizer: Tokenizer, sentences: Sequence[str], *, batch_rows: int = 64
) -> list[float]:
    """log p of each sentence in nats: the sum over all its tokens, the first one after `</s>` as in the shards.

    The sentence's own end is not scored: a text may go on. Rows are padded at their end, where causal attention does
    not look. UserError for a sentence of more tokens than the model's context.
    """
    rows = _rows(tokenizer, sentences)
    context = model.config.context
    for sentence, row in zip(sentences, rows, strict=True):
        if len(row) - 1 > context:
            raise UserError(f"{len(row) - 1} tokens do not fit the model's context of {context}: {sentence!r}")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        sums = [
            # No autocast: bfloat16's rounding would decide the close pairs.
            -model.loss(ids.to(device), targets.to(device)).loss.view(ids.shape).double().sum(1).cpu()
            for ids, targets in _batches(rows, max(1, batch_rows))
        ]
    finally:
        model.train(was_training)
    return torch.cat(sums).tolist() if sums else []


def _rows(tokenizer: Tokenizer, sentences: Sequence[str]) -> list[list[int]]:
    end = tokenizer.special_id("</s>")
    return [[end, *ids] for ids in tokenizer.encode_batch(sentences, as_lists=True)] if sentences else []


def _batches(rows: Sequence[list[int]], batch_rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(ids, targets), each (B, T) int64: targets[b, t] follows ids[b, t], or is NO_TARGET in the padding."""
    for first in range(0, len(rows), batch_rows):
        some = rows[first : first + batch_rows]
        width = max(map(len, some)) - 1
        ids = torch.full((len(some), width), PAD)
        targets = torch.full((len(some), width), NO_TARGET)
        for b, row in enumerate(some):
            ids[b, : len(row) - 1] = torch.tensor(row[:-1])
            targets[b, : len(row) - 1] = torch.tensor(row[1:])
        yield ids, targets


def too_long(tokenizer: Tokenizer, pairs: Mapping[str, Sequence[Pair]], context: int) -> int:
    """How many pairs have a sentence of more tokens than the context: accuracy leaves them out."""
    return sum(len(some) - len(_fitting(tokenizer, some, context)) for some in pairs.values())


def _fitting(tokenizer: Tokenizer, pairs: Sequence[Pair], context: int) -> list[Pair]:
    rows = _rows(tokenizer, [sentence for pair in pairs for sentence in (pair.good, pair.bad)])
    lengths = [max(len(good), len(bad)) - 1 for good, bad in zip(rows[::2], rows[1::2], strict=True)]
    return [pair for pair, length in zip(pairs, lengths, strict=True) if length <= context]


def accuracy(
    model: Transformer,
    tokenizer: Tokenizer,
    pairs: Mapping[str, Sequence[Pair]],
    *,
    per_phenomenon: int = 0,
    batch_rows: int = 64,
) -> dict[str, float]:
    """Share of pairs (0..1) whose good sentence has the higher log p; chance is 0.5, and an exact tie counts half.

    per_phenomenon: only so many pairs of each, the same ones every time (`subset`), for a curve during training;
    0: all. Pairs that do not fit the model's context are left out, too_long() counts them; a phenomenon of which no
    pair fits is missing from the result. In float32 on the model's device; train or eval mode is as before.
    """
    chosen = {name: subset(some, per_phenomenon) for name, some in pairs.items()}
    fitting = {name: _fitting(tokenizer, some, model.config.context) for name, some in chosen.items()}
    # Good and bad side by side, then by length: batches carry little padding, and a pair shares its batch.
    ordered = sorted(
        ((name, pair) for name, some in fitting.items() for pair in some), key=lambda entry: len(entry[1].good)
    )
    sentences = [sentence for _, pair in ordered for sentence in (pair.good, pair.bad)]
    logs = log_probabilities(model, tokenizer, sentences, batch_rows=max(2, batch_rows - batch_rows % 2))
    points = dict.fromkeys((name for name, some in fitting.items() if some), 0.0)
    for (name, _), good, bad in zip(ordered, logs[::2], logs[1::2], strict=True):
        points[name] += 1.0 if good > bad else 0.5 if good == bad else 0.0
    return {name: sum_ / len(fitting[name]) for name, sum_ in points.items()}
