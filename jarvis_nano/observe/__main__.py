"""Writes a run's TensorBoard folder anew from its metrics.jsonl: python -m jarvis_nano.observe demo"""

from __future__ import annotations

import argparse

from jarvis_nano import runs
from jarvis_nano.errors import main


def _run() -> None:
    parser = argparse.ArgumentParser(prog="python -m jarvis_nano.observe", description=__doc__)
    parser.add_argument("run", help="a run's name under runs/ (or $JARVIS_NANO_RUNS), or its folder")
    parser.add_argument("--lang", choices=("fr", "en"), default="fr", help="language of charts and pictures")
    options = parser.parse_args()
    run = runs.resolve(options.run)
    from jarvis_nano.observe.rebuilding import rebuild  # here: a wrong name needs no TensorBoard

    print(rebuild(run, lang=options.lang))


if __name__ == "__main__":
    main(_run)
