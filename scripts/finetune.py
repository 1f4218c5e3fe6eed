"""Teach a pretrained model to answer, on instructions.

    python scripts/finetune.py base --data instructions.jsonl --run tuned
    torchrun --nproc_per_node=2 -- scripts/finetune.py base --data instructions.jsonl --run tuned
"""

import tyro

from jarvis_nano.errors import main
from jarvis_nano.training.finetune import Finetune, finetune


def run() -> None:
    finetune(tyro.cli(Finetune))


if __name__ == "__main__":
    main(run)
