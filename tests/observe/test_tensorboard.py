"""TensorBoard beside a run: on localhost alone, on a free port, gone with the run however the run ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from jarvis_nano.observe import tensorboard
from jarvis_nano.observe.metrics import Metrics
from jarvis_nano.observe.rebuilding import rebuild
from jarvis_nano.observe.tensorboard import launch, next_free_port

FIRST = 16006  # away from the port of a TensorBoard that somebody uses on this machine

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

RUN = """
import signal, sys, time
from jarvis_nano.observe.tensorboard import launch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with Ctrl-C ignored
server = launch(sys.argv[1], port=int(sys.argv[2]))
try:
    print(server.url, server.pid, flush=True)  # from here on Ctrl-C may come at any moment
    time.sleep(60)
except KeyboardInterrupt:
    print("saving", server.problem, flush=True)
time.sleep(60)
"""


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(after_name[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def _is_gone(pid: int) -> bool:
    """Neither running nor a zombie that this process should have reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return True
    return state[0] == "Z" and int(state[1]) != os.getpid()  # an orphan's zombie is init's to reap


def _wait_until_gone(*pids: int, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if not _is_gone(pid)]:
        assert time.monotonic() < deadline, f"still there after {seconds} s: {left}"
        time.sleep(0.05)


def _get(url: str) -> dict | list:
    with urllib.request.urlopen(url, timeout=20) as reply:
        return json.load(reply)


def _port(url: str | None) -> int:
    assert url is not None
    assert url.startswith("http://localhost:")
    return int(url.rstrip("/").rpartition(":")[2])


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs; the second was resumed at step 20."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("first", "second"):
        with Metrics(root / name) as metrics:
            for step in range(10, 51, 10):
                metrics.scalars(step, {"train/loss": 1.0, "eval/loss": 2.0})
            metrics.text(50, "samples/generated", "Bonjour.")
    with Metrics(root / "second") as metrics:
        metrics.truncate(20)
        metrics.scalars(30, {"train/loss": 3.0, "eval/loss": 4.0})
    return root


@pytest.fixture(scope="module")
def beside_another(runs) -> Iterator[tuple[tensorboard.TensorBoard, socket.socket, int]]:
    """A TensorBoard that found its port taken by a program that is not its own."""
    with socket.socket() as other:
        taken = next_free_port(FIRST)
        assert taken is not None
        other.bind(("127.0.0.1", taken))
        other.listen()
        server = launch(runs, port=taken)
        yield server, other, taken
        server.close()


def test_a_taken_port_is_left_alone_and_the_next_one_used(beside_another):
    server, other, taken = beside_another
    assert taken < _port(server.url) < taken + 100
    assert server.problem is None
    with socket.create_connection(("127.0.0.1", taken)):
        other.accept()[0].close()  # still served by the program that had it


def test_it_serves_the_runs_of_the_folder_and_a_resumed_curve_once(beside_another):
    url = beside_another[0].url
    query = "data/plugin/scalars/scalars?run=second/tensorboard&tag=train/loss"
    deadline = time.monotonic() + 20
    while len(_get(url + "data/runs")) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sorted(_get(url + "data/runs")) == ["first/tensorboard", "second/tensorboard"]
    assert [(step, value) for _, step, value in _get(url + query)] == [(10, 1.0), (20, 1.0), (30, 3.0)]
    assert _get(url + "data/plugin/text/tags")["first/tensorboard"] == ["samples/generated"]
    category = _get(url + "data/plugin/custom_scalars/layout")["category"][0]
    assert category["title"] == "Ce que le modèle apprend"
    assert [chart["title"] for chart in category["chart"]][:2] == ["Perte", "Perplexité"]


def _points(url: str, run: str) -> list[tuple[int, float]]:
    return [(step, value) for _, step, value in _get(f"{url}data/plugin/scalars/scalars?run={run}&tag=train/loss")]


def test_a_run_rebuilt_while_it_is_shown_is_shown_anew_and_keeps_its_pictures(tmp_path):
    with Metrics(tmp_path / "run") as metrics:
        for step in range(1, 26):
            metrics.scalars(step, {"train/loss": float(step), "eval/loss": 1.0, "layers/x/00": 1.0})
            metrics.heat_maps(step)
    server = launch(tmp_path, port=FIRST + 700)
    try:
        images = f"{server.url}data/plugin/images/images?run=run/tensorboard&tag=view/layers/x&sample=0"
        expected = [(step, float(step)) for step in range(1, 26)]
        deadline = time.monotonic() + 20
        while not _get(server.url + "data/runs") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert _points(server.url, "run/tensorboard") == expected
        assert [image["step"] for image in _get(images)] == list(range(1, 26))
        lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / "run" / "metrics.jsonl").write_text("".join(lines[:20]), encoding="utf-8")
        rebuild(tmp_path / "run")
        while _points(server.url, "run/tensorboard") != expected[:20]:
            assert time.monotonic() < deadline, _points(server.url, "run/tensorboard")
            time.sleep(0.2)
        assert _get(server.url + "data/runs") == ["run/tensorboard"]
    finally:
        server.close()


@needs_proc
def test_it_listens_on_localhost_only(beside_another):
    server = beside_another[0]
    port = _port(server.url)
    inodes = set()
    for pid in (server.pid, *_children(server.pid)):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link) if link.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # 0A: listening
                addresses.add(fields[1])
    assert f"0100007F:{port:04X}" in addresses
    loopbacks = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
    assert all(address.startswith(loopbacks) for address in addresses), addresses


@needs_proc
def test_two_runs_at_once_get_a_port_each_and_close_leaves_nothing(runs):
    first, second = launch(runs, port=FIRST + 200), launch(runs, port=FIRST + 200)
    assert _port(first.url) != _port(second.url)
    pids = [first.pid, second.pid, *_children(first.pid), *_children(second.pid)]
    assert len(pids) >= 2
    for server in (first, second):
        server.close()
        server.close()
    assert not Path(f"/proc/{first.pid}").exists()  # reaped, not a zombie
    assert not Path(f"/proc/{second.pid}").exists()
    _wait_until_gone(*pids)


@needs_proc
def test_it_outlives_ctrl_c_but_not_the_run_that_is_killed(runs):
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(runs), str(FIRST + 300)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    url, pid = run.stdout.readline().split()
    family = [int(pid), *_children(int(pid))]
    os.killpg(run.pid, signal.SIGINT)  # what the terminal does on Ctrl-C
    assert run.stdout.readline() == "saving None\n"
    time.sleep(0.3)
    assert isinstance(_get(url + "data/runs"), list)
    run.kill()
    run.wait()
    run.stdout.close()
    _wait_until_gone(*family)


@needs_proc
def test_a_tensorboard_that_dies_is_reaped_and_reported(runs):
    server = launch(runs, port=FIRST + 400)
    assert server.url is not None
    os.kill(server.pid, signal.SIGKILL)
    _wait_until_gone(server.pid)
    deadline = time.monotonic() + 5
    while server.problem is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "exit code -9" in server.problem
    assert server.url is None
    server.close()


def test_a_tensorboard_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "_CHILD", "import no_such_tensorboard")
    server = launch(tmp_path, port=FIRST + 500)
    assert server.url is None
    assert "No module named 'no_such_tensorboard'; training goes on without it" in server.problem
    assert f"tensorboard --logdir {tmp_path}" in server.problem
    server.close()


def test_no_free_port_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "next_free_port", lambda first: None)
    server = launch(tmp_path, port=FIRST)
    assert server.url is None
    assert server.problem.startswith(f"no port is free for TensorBoard from {FIRST} up")
    server.close()


@needs_proc
def test_close_before_it_serves_ends_it(tmp_path):
    server = launch(tmp_path, port=FIRST + 600)
    while server.pid is None:
        time.sleep(0.01)
    server.close()
    assert server.url is None
    assert server.problem is None
    assert not Path(f"/proc/{server.pid}").exists()


def test_a_port_taken_on_ipv6_alone_is_not_free():
    try:
        other = socket.socket(socket.AF_INET6)
        other.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with other:
        other.listen()
        port = other.getsockname()[1]
        assert next_free_port(port) != port
