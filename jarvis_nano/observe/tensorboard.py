"""Runs TensorBoard beside a training run: its own process, on localhost only, ending with the run however that ends."""

from __future__ import annotations

import atexit
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

FIRST_PORT = 6006
RELOAD_SECONDS = 5
START_SECONDS = 60
PICTURES_KEPT = 30

# The child reads its standard input, a pipe whose other end only the run holds: end of file means that the run is gone,
# killed or not, on any Unix, with no process left to poll (PR_SET_PDEATHSIG follows the parent *thread*, and is Linux's
# alone). SIGTERM first: TensorBoard then cleans up behind itself. TensorBoard's data server watches TensorBoard in the
# same way. nice: reading event files must not take cores from the training.
_CHILD = """
import os, signal, sys, threading, time
def end_with_the_run():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3)
    os._exit(1)
threading.Thread(target=end_with_the_run, daemon=True).start()
os.nice(5)
from tensorboard.main import run_main
sys.argv[0] = "tensorboard"
run_main()
"""

_SERVING = re.compile(r"TensorBoard \S+ at (http://\S+)")


class TensorBoard:
    """A TensorBoard process that starts in the background while the run prepares itself. Made by `launch`."""

    def __init__(self, logdir: Path, port: int) -> None:
        self._logdir = logdir
        self._owner = os.getpid()
        self._settled = threading.Event()  # set once it serves or has failed
        self._url: str | None = None
        self._problem: str | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._watcher = threading.Thread(target=self._watch, args=(port,), name="tensorboard", daemon=True)
        self._watcher.start()
        atexit.register(self.close)

    @property
    def url(self) -> str | None:
        """Where it serves, such as http://localhost:6006/; waits (2 to 10 s) until that is known; None if it failed."""
        self._settled.wait(START_SECONDS)
        return self._url

    @property
    def problem(self) -> str | None:
        """Why it does not serve, or no longer serves, in one sentence for the user; None while all is well."""
        if self._settled.wait(START_SECONDS) or self._closed:
            return self._problem
        return f"TensorBoard has not answered for {START_SECONDS} s; training goes on without it"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the process and wait until it is gone. Can be called twice, and before the start is over."""
        if os.getpid() != self._owner:  # a fork of the run leaves: TensorBoard is not its to end
            return
        with self._lock:
            self._closed = True
            process = self._process
        if process:
            _end(process)
        self._watcher.join(timeout=10)
        atexit.unregister(self.close)

    def _watch(self, port: int) -> None:
        """Start the child, read what it prints until it ends, reap it; again where a port was lost in a race."""
        try:
            while (free := next_free_port(port)) is not None:
                with self._lock:
                    if self._closed:
                        return
                    process = self._process = _start(self._logdir, free)
                printed = self._read(process)
                code = process.wait()
                if self._closed:
                    return
                if self._url or "already in use" not in printed:
                    self._fail(f"TensorBoard ended with exit code {code}{_last_words(printed)}")
                    return
                port = free + 1
            self._fail(f"no port is free for TensorBoard from {port} up")
        except OSError as error:
            self._fail(f"TensorBoard could not be started: {error}")
        finally:
            self._settled.set()

    def _fail(self, what: str) -> None:
        self._url = None
        self._problem = (
            f"{what}; training goes on without it; to see the curves run: tensorboard --logdir {self._logdir}"
        )

    def _read(self, process: subprocess.Popen[str]) -> str:
        """Drain the child's output, so that it never blocks on a full pipe; notes the address when it is announced."""
        assert process.stdout is not None
        last: list[str] = []
        for line in process.stdout:
            last = [*last[-19:], line.rstrip()]
            match = _SERVING.search(line)
            if match:
                # It listens on 127.0.0.1, which is what a browser tries for localhost.
                self._url = match[1].replace("127.0.0.1", "localhost")
                self._settled.set()
        process.stdout.close()
        _close_stdin(process)
        return "\n".join(last)


def launch(logdir: str | Path, port: int | None = None) -> TensorBoard:
    """Start TensorBoard on `logdir`, the folder that holds the runs, so that they can be compared; returns at once.

    It listens on 127.0.0.1 alone, at `port` (6006 if None) or the next one that is free, and never touches a process
    that is not its own. It ends with `close()`, and with this process whichever way that ends, SIGKILL included; in a
    session of its own, so that Ctrl-C in the terminal reaches the run first. Prints nothing: the caller shows `.url`,
    or `.problem` where that is None. In a distributed run only rank 0 calls this.
    """
    return TensorBoard(Path(logdir).absolute(), FIRST_PORT if port is None else port)


def next_free_port(first: int, tries: int = 1000) -> int | None:
    """The first port from `first` on where nobody listens on localhost, neither on 127.0.0.1 nor on ::1."""
    for port in range(first, min(first + tries, 65536)):
        if all(_is_free(family, host, port) for family, host in _LOOPBACKS):
            return port
    return None


# ::1 too: a browser that asks for localhost may get there first, and would show another program's page.
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def _is_free(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As TensorBoard's server does: a port that only waits out its last connections is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return family == socket.AF_INET6 and not _has_ipv6()
    return True


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _start(logdir: Path, port: int) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-P",  # the working folder stays out of sys.path: a run's folder holds one named tensorboard
        "-c",
        _CHILD,
        f"--logdir={logdir}",
        "--host=127.0.0.1",
        f"--port={port}",
        f"--reload_interval={RELOAD_SECONDS}",
        # Every text sample and a long curve in full; the defaults are 10 texts, 1,000 points and 10 pictures of a tag.
        f"--samples_per_plugin=text=200,scalars=5000,histograms=100,images={PICTURES_KEPT}",
    ]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the child to end, and wait; SIGKILL if it has not after 5 s. Its data server follows it."""
    _close_stdin(process)
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close_stdin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def _last_words(printed: str) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""
