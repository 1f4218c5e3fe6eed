"""A model on a file that the user names: bits per byte of texts, or the answers of an instruction file."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jarvis_nano.chat import encode_conversation
from jarvis_nano.corpus import assistant
from jarvis_nano.corpus.instructions import read_instructions, read_records
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.data.batches import EvaluationWindows, ExampleBatches
from jarvis_nano.data.shard_writer import write_shards
from jarvis_nano.data.shards import Shards
from jarvis_nano.errors import UserError
from jarvis_nano.evaluation.answers import answer, percent_by_kind
from jarvis_nano.evaluation.perplexity import evaluate
from jarvis_nano.model import Transformer
from jarvis_nano.tokenizer import Tokenizer

ROWS = 16


def evaluate_texts(model: Transformer, tokenizer: Tokenizer, paths: Sequence[str]) -> dict[str, float]:
    """Loss, perplexity, first-guess accuracy and bits per byte over all text of the files.

    Windows overlap by half a context, so that every token but the first ones sees at least that much before it.
    """
    context = model.config.context
    with tempfile.TemporaryDirectory(prefix="jarvis_nano-") as folder:
        shards = Path(folder) / "shards"
        write_shards(read_documents(paths), tokenizer, shards, validation_fraction=0.0)
        windows = EvaluationWindows(
            Shards.open(shards, "train"), batch_size=ROWS, context=context, stride=max(1, context // 2)
        )
        result = evaluate(model, windows)
    return {
        "loss": result.loss,
        "perplexity": result.perplexity,
        "accuracy": result.accuracy,
        "bits_per_byte": result.bits_per_byte(windows.n_bytes),
        "bytes": windows.n_bytes,
        "tokens": result.tokens,
    }


def evaluate_instructions(model: Transformer, tokenizer: Tokenizer, path: str) -> dict[str, object]:
    """Loss of the assistant's tokens; right answers in percent, too, where the rows carry a known "kind"."""
    examples = [encode_conversation(tokenizer, messages) for messages in read_instructions(path)]
    fitting = [example for example in examples if len(example[0]) - 1 <= model.config.context]
    if not fitting:
        raise UserError(f"{path}: no conversation fits the model's context of {model.config.context} tokens")
    rows = ExampleBatches(fitting, batch_size=ROWS, context=model.config.context, seed=0)
    result = evaluate(model, rows.in_order())
    found: dict[str, object] = {
        "loss": result.loss,
        "perplexity": result.perplexity,
        "accuracy": result.accuracy,
        "conversations": len(fitting),
        "too_long": len(examples) - len(fitting),
    }
    known = _known_examples(path)
    if known:
        answered = answer(model, tokenizer, known)
        found["right_percent"] = 100 * sum(one.right for one in answered) / len(answered)
        found["right_percent_by_kind"] = percent_by_kind(answered)
    return found


def _known_examples(path: str) -> list[assistant.Example]:
    """The rows that the built-in corpus can judge."""
    names = [field.name for field in dataclasses.fields(assistant.Example)]
    return [assistant.Example(*(row[name] for name in names)) for row in read_records(path) if _is_known(row, names)]


def _is_known(row: dict[str, Any], names: Sequence[str]) -> bool:
    return isinstance(row.get("kind"), str) and row["kind"] in assistant.KINDS and all(name in row for name in names)
