"""Errors that are the user's to mend, and the one place where a script turns them into exit codes."""

from __future__ import annotations

import codecs
import errno
import io
import json
import sys
from collections.abc import Callable


class UserError(ValueError):
    """Bad input. The message says what was found, what was expected and what to do."""


class Resumable(UserError):
    """Not the fault of what was asked for: what has been done stays, and the same command goes on with it."""


def main(run: Callable[[], None]) -> None:
    """Run a script's body: exit 0, 1 (failed, with its traceback), 2 (the user's error, one line), 130 (Ctrl-C)."""
    codecs.register_error("json_escapes", _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):  # é → \u00e9 where LC_ALL=C lets nothing but ASCII through
        sys.stdout.reconfigure(errors="json_escapes")
    try:
        run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `… | head`: the reader left, nothing is wrong
        sys.stderr.close()
        sys.exit(0)
    except PermissionError as error:
        advice = "let it be read, or, if it is to be written, choose a folder that is yours"
        print(f"error: no permission for {error.filename}; {advice}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        place = error.filename or "the output"
        print(f"error: {place}: {error.strerror}; free some space or choose another place", file=sys.stderr)
        sys.exit(2)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What a stream cannot write as JSON's escapes, so that --json stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
