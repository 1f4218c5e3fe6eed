"""From nothing to a chat in French in a few minutes; `make demo` calls it.

    python scripts/demo.py
"""

import tyro

from jarvis_nano.errors import main
from jarvis_nano.training.demo import Demo, demo


def run() -> None:
    demo(tyro.cli(Demo))


if __name__ == "__main__":
    main(run)
