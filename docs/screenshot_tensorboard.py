"""Saves a picture of TensorBoard's pages for the documentation, with headless Chromium driven over its debugging pipe.

python docs/screenshot_tensorboard.py runs --page timeseries --out docs/tensorboard.png
python docs/screenshot_tensorboard.py --url http://localhost:6006/ --page text --out text.png
"""

from __future__ import annotations

import argparse
import base64
import json
import select
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

from jarvis_nano.errors import UserError, main
from jarvis_nano.observe.tensorboard import launch

PAGES = (
    "timeseries", "scalars", "custom_scalars", "images", "histograms", "distributions", "text", "hparams", "projector"
)

# TensorBoard's older pages live in shadow roots or in a frame, which document.body.innerText leaves out.
_DEEP = """
(() => {
  const texts = [];
  const walk = node => {
    if (node.shadowRoot) walk(node.shadowRoot);
    if (node.nodeType === Node.TEXT_NODE) { if (node.data.trim()) texts.push(node.data.trim()); return; }
    if (node.tagName === 'STYLE' || node.tagName === 'SCRIPT') return;
    if (node.tagName === 'IFRAME') { if (node.contentDocument?.body) walk(node.contentDocument.body); return; }
    if (node.nodeType === Node.ELEMENT_NODE && node.getClientRects().length === 0
        && getComputedStyle(node).display !== 'contents') return;
    for (const child of node.childNodes) walk(child);
  };
  walk(document.body);
  return texts.join('\\n');
})()
"""


class Chromium:
    """One page of a headless Chromium, as a context manager. UserError where Chromium is not installed."""

    def __init__(self, *, width: int = 1280, height: int = 800) -> None:
        program = find_chromium()
        if program is None:
            raise UserError("no Chromium found; install it (apt-get install chromium) and run again")
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        options = [
            "--headless=new",
            "--no-sandbox",  # root in a container has none; the only page it opens is our own
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._folder}",
            f"--window-size={width},{height}",
        ]
        # The debugging pipe is the browser's descriptors 3 and 4; a shell moves them there.
        redirect = 'exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null'
        self._process = subprocess.Popen(
            ["sh", "-c", redirect, "sh", program, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands, self._replies = self._process.stdin, self._process.stdout
        self._pending = b""
        self._count = 0
        self._session: str | None = None
        self._size = {"width": width, "height": height}

    def __enter__(self) -> Chromium:
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, mobile=False, **self._size)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._commands.close()  # Chromium leaves when its pipe closes
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._replies.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, *, timeout: float = 30.0, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; returns its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            reply = self._next_message(deadline, method)
            if reply.get("id") == self._count:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]

    def _next_message(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._pending:
            ready, _, _ = select.select([self._replies], [], [], max(0.0, deadline - time.monotonic()))
            data = self._replies.read(1 << 16) if ready else b""
            if not data:
                raise TimeoutError(f"Chromium did not answer {method}")
            self._pending += data
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url="about:blank")  # TensorBoard ignores a change of the fragment alone
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def text(self) -> str:
        """All the text on the page that is displayed."""
        return self.evaluate(_DEEP) or ""

    def wait_for(self, *texts: str, timeout: float = 40.0) -> str:
        """Wait until all of `texts` are displayed; returns the page's text. TimeoutError names what is missing."""
        deadline = time.monotonic() + timeout
        while True:
            shown = self.text()
            joined = "".join(shown.split())  # a tag is drawn in pieces: train, /loss
            missing = [text for text in texts if "".join(text.split()) not in joined]
            if not missing:
                return shown
            if time.monotonic() > deadline:
                raise TimeoutError(f"not on the page after {timeout:.0f} s: {missing}; on it: {shown[:2000]!r}")
            time.sleep(0.3)

    def screenshot(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


def find_chromium() -> str | None:
    """The first Chromium or Chrome on the PATH, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logdir", nargs="?", type=Path, help="the folder of the runs, or of one run")
    parser.add_argument("--url", help="a TensorBoard that runs already, instead of a folder")
    parser.add_argument("--page", choices=PAGES, default="timeseries")
    parser.add_argument("--expect", nargs="*", default=[], help="wait until these texts are on the page")
    parser.add_argument("--pin", nargs="*", default=[], help="scalar tags to pin at the top of the page timeseries")
    parser.add_argument("--smoothing", type=float, default=0.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    return parser.parse_args()


def _run() -> None:
    options = _parse()
    if (options.logdir is None) == (options.url is None):
        raise UserError("give either the folder of the runs or --url")
    if options.logdir and not options.logdir.is_dir():
        raise UserError(f"no folder {options.logdir}; give the one that holds the runs, such as runs")
    server = launch(options.logdir) if options.logdir else None
    try:
        url = server.url if server else options.url
        if url is None:
            raise UserError(server.problem if server else "no address")
        with Chromium(width=options.width, height=options.height) as browser:
            pins = json.dumps([{"plugin": "scalars", "tag": tag} for tag in options.pin])
            query = urllib.parse.urlencode({"darkMode": "false", "smoothing": options.smoothing, "pinnedCards": pins})
            browser.open(f"{url.rstrip('/')}/?{query}#{options.page}")
            browser.wait_for(*options.expect)
            browser.evaluate("document.querySelector('[aria-label=\"Close side pane\"]')?.click()")
            time.sleep(4)  # curves are drawn by workers after the text is there
            options.out.write_bytes(browser.screenshot())
    finally:
        if server:
            server.close()
    print(options.out)


if __name__ == "__main__":
    main(_run)
