"""Train a byte-level BPE tokenizer on a corpus; compare tokenizers on French; see what a tokenizer loses.

python scripts/train_tokenizer.py novels/ --out data/tokenizer --vocab-size 16384
python scripts/train_tokenizer.py --compare data/tokenizer other/tokenizer.json --data unseen.txt
python scripts/train_tokenizer.py --doctor data/tokenizer
"""

import sys
from pathlib import Path

import tyro

from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.errors import main
from jarvis_nano.tokenizer_lab.commands import run_comparison, run_doctor, training_bars
from jarvis_nano.tokenizer_lab.options import Options
from jarvis_nano.tokenizer_lab.sampling import Sample, write_record
from jarvis_nano.tokenizer_training import train_tokenizer


def run() -> None:
    options = tyro.cli(Options)
    options.check()
    if options.compare:
        run_comparison(options.compare, options.data, options.learn_from, as_json=options.json)
    elif options.doctor is not None:
        sys.exit(run_doctor(options.doctor, options.data, as_json=options.json))
    elif options.out is not None:
        train(options, options.out)


def train(options: Options, out: Path) -> None:
    with training_bars(read_documents(options.corpus)) as bars:
        sample = Sample(bars.documents, n_bytes=options.sample_bytes, hold_out=options.hold_out)
        report = train_tokenizer(
            sample.texts(bars.read),
            out,
            vocab_size=options.vocab_size,
            pattern=options.pattern,
            on_read=bars.words,
            on_merge=bars.merges,
        )
    write_record(out, sample, report.tokenizer, pattern=options.pattern)
    size, bytes_per_token = report.tokenizer.vocab_size, report.bytes_per_token
    print(
        f"{out}: {size} tokens, pattern {options.pattern}, {bytes_per_token:.2f} bytes per token; "
        f"{sample.describe()}; {report.seconds:.1f} s"
    )


if __name__ == "__main__":
    main(run)
