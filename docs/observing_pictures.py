"""Makes the pictures of docs/observing.md: cards of the report over the runs of docs/illnesses.py, one PNG a picture.

    python docs/illnesses.py RUNS && python docs/observing_pictures.py RUNS [REAL]

REAL is a longer run on real text (docs/observing.md says which). Needs Chromium.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
from pathlib import Path

from screenshot_tensorboard import Chromium

from jarvis_nano.observe.report import write_report

WIDTH = 1000
OUT = Path(__file__).parent / "observing"
# picture -> (runs, the titles of the cards it shows)
PICTURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "healthy": (("healthy",), ("Perplexity", "Gradient norm", "Update-to-weight ratio")),
    "inside": (("REAL",), ("Loss by position", "Loss by frequency", "Agreement with the end")),
    "rate": (("healthy", "rate_x30", "no_warmup"), ("Perplexity", "Weight norm", "Output entropy")),
    "frozen": (("frozen",), ("Gradient per block", "Update-to-weight ratio")),
    "dead_units": (("dead_units",), ("Dead neurons", "What the MLP adds")),
    "logits": (("logits",), ("Largest attention logit", "Attention entropy")),
    "duplicates": (("healthy", "duplicates"), ("Perplexity", "Accuracy")),
    "french": (("REAL",), ("Grammar, mean", "Loss by category", "Best previous-token head")),
}
# Leaves nothing on the page but the wanted cards, side by side; returns their height, or what there was instead.
_ARRANGE = """
(titles => {
  const cards = [...document.querySelectorAll('.card')];
  const wanted = titles.map(title => cards.find(card => card.querySelector('h3')?.textContent === title));
  if (wanted.includes(undefined)) return cards.map(card => card.querySelector('h3')?.textContent).join(', ');
  const row = document.createElement('div');
  row.style.cssText = `display:grid;grid-template-columns:repeat(${titles.length},1fr);gap:12px;padding:12px`;
  row.style.alignItems = "start";
  wanted.forEach(card => card.classList.remove('wide'));
  row.append(...wanted);
  document.body.replaceChildren(row);
  scrollTo(0, 0);
  dispatchEvent(new Event('resize'));
  return row.getBoundingClientRect().height;
})(%s)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("real", type=Path, nargs="?")
    asked = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Chromium(width=WIDTH, height=1200) as page:
        for name, (runs, wanted) in PICTURES.items():
            if "REAL" in runs and asked.real is None:
                continue
            places = [asked.real if run == "REAL" else asked.runs / run for run in runs]
            report = write_report(places, Path(folder) / f"{name}.html", lang="en")
            page.open(report.as_uri())
            page.wait_for("How it learns")
            height = page.evaluate(_ARRANGE % json.dumps(wanted))
            if isinstance(height, str):
                raise SystemExit(f"{name}: not all of {wanted} are among the cards {height}")
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
            shot = page.call("Page.captureScreenshot", format="png", clip=clip)
            (OUT / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
