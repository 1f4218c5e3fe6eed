"""Write one HTML page about a run, or about several side by side: curves, heat maps, texts, diagnosis, settings.

    python scripts/report.py demo
    python scripts/report.py nano-1 nano-2 --out comparison.html --lang en
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from jarvis_nano.errors import main


@dataclass(frozen=True)
class Settings:
    """One HTML page about one or more runs. Example: python scripts/report.py nano-1 nano-2 --out comparison.html"""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Names under runs/ (or $JARVIS_NANO_RUNS), or folders."""
    out: str = ""
    """File to write; default: report.html in the run's folder, for several runs beside the first."""
    lang: Literal["fr", "en"] = "fr"
    """Language of the page."""


def run() -> None:
    settings = tyro.cli(Settings)
    from jarvis_nano.observe.report import write_report

    print(write_report(settings.runs, settings.out or None, lang=settings.lang))


if __name__ == "__main__":
    main(run)
