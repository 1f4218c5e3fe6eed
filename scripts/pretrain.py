"""Pretrain a French GPT from random weights. Bare, it writes its own corpus and trains the preset nano on it.

python scripts/pretrain.py nano --data books/ --run books --steps 3000
torchrun --nproc_per_node=2 scripts/pretrain.py
"""

import argparse
import sys

import tyro

from jarvis_nano.errors import main
from jarvis_nano.training.pretrain import Pretrain, pretrain, starting_point


def run() -> None:
    args = sys.argv[1:]
    preset = args.pop(0) if args and not args[0].startswith("-") else ""
    look = argparse.ArgumentParser(add_help=False, allow_abbrev=False)  # the other defaults depend on these
    look.add_argument("--run", default="")
    look.add_argument("--resume", action="store_true")
    known, _ = look.parse_known_args(args)
    start = starting_point(preset, known.run, known.resume)
    pretrain(tyro.cli(Pretrain, args=args, default=start, config=(tyro.conf.OmitArgPrefixes,)), preset)


if __name__ == "__main__":
    main(run)
