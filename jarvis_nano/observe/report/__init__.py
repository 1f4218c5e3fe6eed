"""One self-contained HTML page about a run, or about several side by side: what scripts/report.py writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jarvis_nano.errors import UserError
from jarvis_nano.observe.replacing import replace_file
from jarvis_nano.observe.report.page import render
from jarvis_nano.observe.report.reading import read_run
from jarvis_nano.observe.tags import Lang

__all__ = ["write_report"]


def write_report(runs: Sequence[str | Path], out: str | Path | None = None, *, lang: Lang = "fr") -> Path:
    """Write the page and return where; without `out` into the run's folder, for several beside the first one's.

    UserError if there is no run, one of them is none, or a file of it is damaged.
    """
    if not runs:
        raise UserError("no run is named; give a name under runs/, such as demo, or a folder")
    data = [read_run(run) for run in runs]
    folder = data[0].folder if len(data) == 1 else data[0].folder.parent
    path = Path(out) if out else folder / "report.html"
    if path.is_dir():
        raise UserError(f"{path} is a folder; give --out the name of a file, such as {path / 'report.html'}")
    page = render(data, path, lang)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{path.parent} is no folder; give --out a file in a folder") from None
    replace_file(path, page.encode())
    return path
