"""The package builds and installs in every way that people install it. Slow: each test makes environments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow

USE = (
    "import torch, jarvis_nano; from jarvis_nano import _bpe, kernels\n"
    "from jarvis_nano.evaluation import grammar\n"
    "from jarvis_nano.observe.report import page\n"
    "from jarvis_nano.training.allocator import keep_freed_memory\n"
    "assert keep_freed_memory() and grammar.load() and page._asset(\"page.css\")\n"
    "y = kernels.layer_norm(torch.ones(2, 8), torch.ones(8), backend='cpp')\n"
    "print(y.abs().sum().item(), kernels.__file__)"
)


def run(*command: str | Path, **options) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what git tracks, as a clone would have it."""
    copy = tmp_path_factory.mktemp("source") / "jarvis_nano"
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    files = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """The Python of an environment with nothing but pip."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    return folder / "bin/python"


def works(python: Path, folder: Path, **variables: str) -> None:
    """jarvis_nano is imported from anywhere but the source, and its compiled kernels run."""
    out = run(python, "-c", USE, cwd=folder, env={**os.environ, **variables})
    assert out.split()[0] == "0.0"


def test_an_empty_environment_gets_everything_then_keeps_its_torch(source, empty, tmp_path):
    run(empty, "-m", "pip", "install", "--editable", source)
    works(empty, tmp_path)
    log = run(empty, "-m", "pip", "install", "--verbose", "--editable", source)
    assert not re.search(r"(Collecting|Downloading|Using cached) torch\b", log)  # built against the one that is there
    works(empty, tmp_path)
    run(empty, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--editable", source)
    works(empty, tmp_path)
    log = run(empty, "-m", "pip", "install", source)  # not editable: the wheel's own files, over the editable ones
    assert "Successfully installed jarvis_nano" in log
    out = run(empty, "-c", USE, cwd=tmp_path)
    assert "site-packages" in out
    assert (Path(out.split()[1]).parent / "layernorm/op.py").exists()


def test_the_sdist_holds_what_the_wheel_is_built_from(source, tmp_path):
    run(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", tmp_path, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for name in ("csrc/bindings.cpp", "csrc/layernorm_rows.inc", "csrc/layernorm_cuda.cu", "kernels/layernorm/op.py"):
        assert (unpacked / name).exists()
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, unpacked)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    for pattern in (
        r"jarvis_nano/_ops\S*\.so",
        r"jarvis_nano/_bpe\S*\.so",
        r"jarvis_nano/_allocator\S*\.so",
        r"jarvis_nano/kernels/layernorm/op\.py",
        r"jarvis_nano/evaluation/minimal_pairs/gender\.tsv",
        r"jarvis_nano/observe/report/page\.css",
    ):
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    assert not any(name.startswith(("kernels/", "tests/", "csrc/", "scripts/")) for name in names)
    works(Path(sys.executable), tmp_path / "site", PYTHONPATH=str(tmp_path / "site"))


def test_without_a_compiler_the_message_says_how_to_get_one(source, tmp_path):
    only_git = {**os.environ, "PATH": str(tmp_path), "CXX": ""}
    command = [sys.executable, "setup.py", "build_ext", "--build-temp", tmp_path / "t", "--build-lib", tmp_path / "l"]
    done = subprocess.run(command, env=only_git, cwd=source, capture_output=True, text=True)
    assert done.returncode != 0
    assert "no C++ compiler found" in done.stderr
    assert "apt install g++" in done.stderr


def test_cuda_that_is_asked_for_is_refused_with_a_reason_where_nvcc_is_missing(source, tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path), "CUDA_HOME": str(tmp_path), "JARVIS_NANO_CUDA": "link"}
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext"], env=environment, cwd=source, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "nvcc not found; install the CUDA toolkit" in done.stderr


def test_a_second_build_compiles_nothing(source, tmp_path):
    command = [sys.executable, "setup.py", "build_ext", "--build-temp", tmp_path / "t", "--build-lib", tmp_path / "l"]
    first = run(*command, cwd=source)
    second = run(*command, cwd=source)
    assert "bindings.cpp" in first
    assert "bindings.cpp" not in second
    (source / "csrc/layernorm_rows.inc").touch()
    third = run(*command, cwd=source)
    assert "layernorm_avx2.cpp" in third  # a changed header recompiles what includes it
    assert "bindings.cpp" not in third
