"""Breaks every GPU kernel on purpose and sees that a test notices: tests/mutations/run.py [STEM…] [--table FILE].

tests/mutations/<op>_<backend>.toml lists the ways. Each is made in a copy of the tree, one after the other, and the
test named beside it must fail there; first all those tests must pass on the unbroken copy. --table writes the table of
docs/kernels.md. Exit code 1 when a break went unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BEGIN, END = "<!-- mutations -->", "<!-- end of mutations -->"


class Mutation(NamedTuple):
    """One way to break one file, and the pytest arguments of the test that must then fail."""

    kernel: str
    name: str
    file: str
    old: str
    new: str
    test: str


def listed(stems: list[str] | None = None) -> list[Mutation]:
    """All mutations, or those of the files named."""
    files = sorted(HERE.glob("*.toml"))
    unknown = set(stems or ()) - {file.stem for file in files}
    if unknown:
        known = ", ".join(file.stem for file in files)
        sys.exit(f"error: no mutations called {', '.join(sorted(unknown))}; there are: {known}")
    return [
        Mutation(file.stem, **entry)
        for file in files
        if not stems or file.stem in stems
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["mutation"]
    ]


def copy_tree(target: Path) -> None:
    """The files under version control and new ones, with the compiled modules, importable from `target` alone."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    compiled = [str(path.relative_to(ROOT)) for path in (ROOT / "jarvis_nano").glob("*.so")]
    for name in [*names, *compiled]:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    # An editable installation maps jarvis_nano.kernels to the original; a folder inside the package comes first.
    (target / "jarvis_nano/kernels").symlink_to(target / "kernels")


def run(test: str, tree: Path) -> tuple[bool, str]:
    """Whether the test passes in the tree, and the first test that failed."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "--tb=no", *shlex.split(test)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):  # 2: not collected, 4: bad usage, 5: nothing selected
        sys.exit(f"error: pytest {test} did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == 0 and " passed" not in done.stdout:
        sys.exit(f"error: every test of {test} is skipped here, so it notices nothing:\n{done.stdout[-500:]}")
    return done.returncode == 0, failed[0].rpartition("::")[2] if failed else ""


def noticed(mutation: Mutation, tree: Path) -> str:
    """The test that fails once the file is broken; "": none does."""
    file = tree / mutation.file
    sound = file.read_text(encoding="utf-8")
    file.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        return run(mutation.test, tree)[1]
    finally:
        file.write_text(sound, encoding="utf-8")


def table(results: list[tuple[Mutation, str]]) -> str:
    lines = ["| kernel | broken on purpose | noticed by |", "|---|---|---|"]
    for mutation, test in results:
        lines.append(f"| {mutation.kernel} | {mutation.name} | `{test.partition('[')[0]}` |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kernels", nargs="*", metavar="STEM", help="files of this folder without .toml; none: all")
    parser.add_argument("--table", type=Path, help="write the table between the marks in this file")
    asked = parser.parse_args()
    mutations = listed(asked.kernels)
    results = []
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        for test in dict.fromkeys(mutation.test for mutation in mutations):
            passed, failed = run(test, tree)
            if not passed:
                sys.exit(f"error: {failed} of {test} fails on the unbroken tree; mend that first")
        for mutation in mutations:
            test = noticed(mutation, tree)
            results.append((mutation, test))
            print(f"{mutation.kernel}: {mutation.name}: {test or 'NOT NOTICED'}", flush=True)
    unnoticed = [f"{mutation.kernel}: {mutation.name}" for mutation, test in results if not test]
    if asked.table and not unnoticed:
        page = asked.table.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        asked.table.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")
    print(f"{len(results) - len(unnoticed)} of {len(results)} noticed")
    sys.exit("error: not noticed: " + "; ".join(unnoticed) if unnoticed else 0)


if __name__ == "__main__":
    main()
