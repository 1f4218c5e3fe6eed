"""The walls of the house: which module may import which, what stays free of torch, how long the files may grow."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "jarvis_nano"

# From the lowest to the highest. A module imports lower floors and its own folder (or file) only; `errors` and the
# package's own version stand below everything.
FLOORS = (
    ("errors", "_allocator"),
    ("kernels", "config"),
    ("model", "lora", "tokenizer", "corpus"),
    ("runs", "tokenizer_training", "tokenizer_lab"),
    ("generation", "data"),
    ("chat", "observe", "convert"),
    ("evaluation", "terminal"),
    ("training", "serve"),
    ("scripts",),
)
FLOOR_OF = {name: height for height, names in enumerate(FLOORS) for name in names}


def modules() -> list[tuple[str, Path]]:
    """(dotted name as imported, file) of every module of the package, its kernels and its scripts."""
    homes = ((ROOT / PACKAGE, PACKAGE), (ROOT / "kernels", f"{PACKAGE}.kernels"), (ROOT / "scripts", "scripts"))
    return [
        (".".join([prefix, *file.relative_to(folder).with_suffix("").parts]), file)
        for folder, prefix in homes
        for file in sorted(folder.rglob("*.py"))
    ]


def imports(name: str, tree: ast.AST) -> set[str]:
    """Every module that a file names in an import anywhere in it, relative ones resolved."""
    found = set()
    package = name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from jarvis_nano import kernels` names a module in its list
            found.update(f"{origin}.{alias.name}" for alias in node.names)
    return found


def part(module: str) -> str | None:
    """The part of the house that a module belongs to: `corpus` of jarvis_nano.corpus.stories; None: not ours."""
    names = module.split(".")
    if names[0] == "scripts":
        return "scripts"
    return names[1] if names[0] == PACKAGE and len(names) > 1 else None


def faults(name: str, source: str) -> list[str]:
    """The imports of a module that go up or sideways."""
    own = part(name)
    if own is None or own == "__init__":  # the package itself: lazy names only, held below
        return []
    wrong = []
    for other in sorted(imports(name, ast.parse(source))):
        other_part = part(other)
        if other_part is None or other_part == own != "scripts" or other_part == "__version__":
            continue
        assert own in FLOOR_OF, f"{name}: {own} has no floor; add it to FLOORS and to docs/architecture.md"
        assert other_part in FLOOR_OF, f"{name} imports {other}, which has no floor"
        if FLOOR_OF[other_part] >= FLOOR_OF[own]:
            wrong.append(f"{name} imports {other}: from {own} to {other_part} is not downward")
    return wrong


@pytest.mark.parametrize(("name", "file"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_go_downward(name, file):
    assert faults(name, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("jarvis_nano.model", "from jarvis_nano.training.loop import train"),
        ("jarvis_nano.corpus.stories", "from ..data import shards"),
        ("jarvis_nano.data.shards", "def f():\n    from jarvis_nano import generation"),
        ("jarvis_nano.kernels.backends", "import jarvis_nano.config"),
        ("jarvis_nano.kernels.layernorm.op", "from ... import model"),
        ("scripts.demo", "from scripts import pretrain"),
        ("scripts.demo", "import scripts.pretrain"),
    ],
)
def test_a_wrong_import_is_found(name, line):
    assert len(faults(name, line)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("jarvis_nano.corpus.stories", "from .lexicon import NOUNS\nfrom . import morphology"),
        ("jarvis_nano.model", "from . import kernels\nfrom .config import ModelConfig\nimport torch"),
        ("jarvis_nano.kernels.layernorm.op", "from .. import backends\nfrom jarvis_nano.errors import UserError"),
    ],
)
def test_a_right_import_passes(name, line):
    assert faults(name, line) == []


def test_the_package_and_its_kernels_import_lazily():
    for file in (ROOT / PACKAGE / "__init__.py", ROOT / "kernels/__init__.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert {node.module for node in at_import} <= {"__future__", "importlib", "typing"}, file


@pytest.mark.parametrize(
    "names", ["jarvis_nano", "jarvis_nano.kernels", "jarvis_nano.tokenizer", "corpus", "tokenizer_lab"]
)
def test_text_work_leaves_torch_alone(names):
    if names in ("corpus", "tokenizer_lab"):
        files = [name for name, file in modules() if part(name) == names and not file.name.startswith("__")]
    else:
        files = [names]
    program = (
        f"import sys\nfor name in {files}: __import__(name)\nprint(*sorted({{'torch', 'triton'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_scripts_are_short():
    for file in sorted((ROOT / "scripts").glob("*.py")):
        lines = len(file.read_text(encoding="utf-8").splitlines())
        assert lines <= 60, f"{file.name} has {lines} lines; a script parses, calls and prints, in at most 60"


def test_the_model_reads_in_one_sitting():
    lines = len((ROOT / PACKAGE / "model.py").read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"model.py has {lines} lines; at most 400"


def test_nothing_swallows_every_exception():
    for name, file in modules():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else ""
                if caught == "BaseException" and ast.unparse(node.body[-1]) == "raise":
                    continue  # tidies up and lets it go on
                assert caught not in ("", "Exception", "BaseException"), f"{name}, line {node.lineno}: except {caught}"


def test_torch_is_included_by_the_bindings_alone():
    for file in sorted((ROOT / "csrc").iterdir()):
        if file.suffix in (".h", ".inc", ".cpp", ".cu") and "bindings" not in file.name:
            included = re.findall(r"#include <(?:torch|c10)\S*", file.read_text(encoding="utf-8"))
            assert not included or file.name == "allocator_module.cpp", (file.name, included)
