"""Files of any kind to a clean French corpus: read, normalised, judged, without duplicates, with a report.

python scripts/prepare_corpus.py books/ --out data/books
python scripts/prepare_corpus.py frwiki-latest-pages-articles-multistream.xml.bz2 --out data/wiki --licence "CC BY-SA"
python scripts/prepare_corpus.py crawl/ --out data/crawl-0 --shard 0/4 --mask email phone
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from jarvis_nano.corpus.preparing import report
from jarvis_nano.corpus.preparing.pipeline import prepare_corpus
from jarvis_nano.corpus.preparing.settings import Settings, parse_shard
from jarvis_nano.corpus.sources import Options
from jarvis_nano.corpus.sources.mediawiki.parameters import read_rules
from jarvis_nano.errors import main


@dataclass(frozen=True)
class Command:
    """Prepare a corpus; run again, it goes on. Example: python scripts/prepare_corpus.py books/ --out data/books"""

    input: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT...")]
    """Files and folders: text, books, MediaWiki dumps, JSON lines, Parquet, CSV, HTML, transcripts; also packed."""
    out: Path
    """The corpus folder to write."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    text_column: str = "text"
    """Where .jsonl, .csv and .parquet hold the text."""
    whole_files: bool = False
    """A .txt is one document, whatever blank lines it has: a book whose chapters stand apart."""
    template_rules: Path | None = None
    """A file that says how to render templates of a wiki, one a line (docs/mediawiki.md)."""
    shard: Annotated[str, tyro.conf.arg(metavar="I/N")] = "0/1"
    """Prepare only each N-th unit of the inputs, from the I-th on: for N machines."""
    licence: str = ""
    """Of the texts, as it is to stand in the manifest."""
    processes: int | None = None
    """How many work at once; as many as there are cores, if not given."""
    json: bool = False
    """Print the manifest instead of a summary."""


def run() -> None:
    command = tyro.cli(Command)
    rules = read_rules(command.template_rules) if command.template_rules else {}
    options = Options(text_column=command.text_column, whole_files=command.whole_files, template_rules=rules)
    settings = replace(command.settings, options=options, shard=parse_shard(command.shard))
    found = prepare_corpus(command.input, command.out, settings, licence=command.licence, processes=command.processes)
    print(json.dumps(found, ensure_ascii=False)) if command.json else report.show(found, command.out)


if __name__ == "__main__":
    main(run)
