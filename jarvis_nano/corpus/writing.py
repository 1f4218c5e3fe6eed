"""A folder that is either complete or absent: written beside its place, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jarvis_nano.errors import Resumable, UserError


def _nothing_can_go_on(folder: Path) -> bool:
    return False


@contextmanager
def folder_beside(out: Path, *, can_go_on: Callable[[Path], bool] = _nothing_can_go_on) -> Iterator[Path]:
    """Yield a temporary folder next to `out`; rename it to `out` on success, remove it on any exception, Ctrl-C too.

    A folder of which `can_go_on` says so stays beside `out` after a Ctrl-C or a full disk, as after a kill, and the
    next process of this machine that writes `out` is given it with what it holds; input that is wrong (UserError, if
    it is not Resumable) leaves nothing. UserError where `out` holds something already, for nothing is ever
    overwritten, and where no folder can be made there.
    """
    out = Path(out)
    _refuse_occupied(out)
    partial = out.parent / f"{_prefix(out)}{os.getpid()}.partial"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _take_over_or_remove_leftovers(out, partial, can_go_on)
        partial.mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        raise UserError(f"no folder can be made in {out.parent}; choose another place for {out.name}") from error
    try:
        yield partial
        _flush_to_disk(partial)
        _rename(partial, out)
    except BaseException as error:  # KeyboardInterrupt and SystemExit too
        is_final = isinstance(error, UserError) and not isinstance(error, Resumable)
        if is_final or not can_go_on(partial):
            shutil.rmtree(partial, ignore_errors=True)
        raise


def living_writers(out: Path | str) -> list[Path]:
    """The temporary folders of other processes of this machine that are writing `out` now."""
    out = Path(out)
    found = ((folder, _pid(out, folder)) for folder in _temporary(out))
    return [folder for folder, pid in found if pid is not None and _is_alive(pid)]


def _temporary(out: Path) -> list[Path]:
    return sorted(out.parent.glob(f"{glob.escape(_prefix(out))}*.partial"))


def _pid(out: Path, folder: Path) -> int | None:
    pid = folder.name[len(_prefix(out)) : -len(".partial")]
    return int(pid) if pid.isdigit() else None


def _prefix(out: Path) -> str:
    return f".{out.name}.{socket.gethostname()}-"


def _refuse_occupied(out: Path) -> None:
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        kind = "a folder with files in it" if out.is_dir() else "a file"
        raise UserError(f"{out} is already {kind}; choose another place, or remove it first")


def _take_over_or_remove_leftovers(out: Path, partial: Path, can_go_on: Callable[[Path], bool]) -> None:
    """What a killed process of this machine left beside `out` becomes `partial`, or goes; a live one's stays."""
    for leftover in sorted(_temporary(out), key=lambda path: path != partial):
        pid = _pid(out, leftover)
        if pid is None or _is_alive(pid):
            continue
        if can_go_on(leftover) and (leftover == partial or not partial.exists()):
            with contextlib.suppress(FileNotFoundError):  # another process was first
                leftover.rename(partial)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # a number used again: this process has only just begun to write
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _flush_to_disk(folder: Path) -> None:
    """fsync the files, then the folder, so that a power cut after the rename cannot leave empty ones."""
    for path in [*(p for p in sorted(folder.rglob("*")) if p.is_file()), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _rename(partial: Path, out: Path) -> None:
    try:
        os.rename(partial, out)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # another process was first
            raise UserError(f"{out} appeared while it was being written; use it, or choose another place") from error
        raise
