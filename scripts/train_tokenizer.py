"""Train a byte-level BPE tokenizer on a corpus.

python scripts/train_tokenizer.py novels/ --out data/tokenizer --vocab-size 16384
python scripts/train_tokenizer.py a.txt b.jsonl.zst --out data/tokenizer --pattern gpt2
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.errors import main
from jarvis_nano.tokenizer_training import train_tokenizer


@dataclass(frozen=True)
class Settings:
    """Train a tokenizer. Example: python scripts/train_tokenizer.py novels/ --out data/tokenizer --vocab-size 16384"""

    corpus: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CORPUS...")]
    """Files or folders: .txt, .jsonl, plain or .gz, .bz2, .zst."""
    out: Path
    """The folder to write tokenizer.json and its companions into."""
    vocab_size: int = 16384
    """How many tokens, the 256 bytes and 8 special tokens among them."""
    pattern: Literal["french", "gpt2", "llama3", "bloom"] = "french"
    """How text is cut into words: french keeps an elision with its apostrophe (l' · eau) and parts digits."""


def run() -> None:
    settings = tyro.cli(Settings)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        words = progress.add_task("counting words", total=None, amount="")
        merges = progress.add_task("learning merges", total=None, amount="", visible=False)
        report = train_tokenizer(
            (document.text for document in read_documents(settings.corpus)),
            settings.out,
            vocab_size=settings.vocab_size,
            pattern=settings.pattern,
            on_read=lambda size: progress.update(words, completed=size, amount=f"{size / 1e6:.1f} MB"),
            on_merge=lambda done, wanted: progress.update(
                merges, total=wanted, completed=done, amount=f"{done} of {wanted}", visible=True
            ),
        )
    megabytes, ids = report.n_bytes / 1e6, report.tokenizer.vocab_size
    print(f"{settings.out}: {ids} tokens, pattern {settings.pattern}, {report.bytes_per_token:.2f} bytes per token; "
          f"{report.n_documents} documents, {megabytes:.1f} MB, {report.seconds:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main(run)
