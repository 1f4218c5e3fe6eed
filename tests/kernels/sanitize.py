"""The C++ under a sanitizer: a copy of the package whose _bpe or _ops is compiled with it, beside the real one.

python tests/kernels/sanitize.py bpe address fuzz --minutes 10   addresses and undefined behaviour, the fuzzer
python tests/kernels/sanitize.py bpe address tests               the same, tests/kernels/test_bpe*.py
python tests/kernels/sanitize.py bpe thread races                data races: many threads, many encoders
python tests/kernels/sanitize.py ops address tests               the CPU kernels of the ops, their tests

The sanitizer's library is preloaded, since Python itself is not compiled with it. Exit code 1 on a finding.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLAGS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "thread": ["-fsanitize=thread"],
}
LIBRARIES = {"address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
OPTIONS = {
    # Python and the other extensions free nothing at their end; leaks of ours are the memory tests' matter.
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
}
# Races need two threads inside one encoder, and batches and long texts cut for threads of our own.
RACES = """
import random, sys, threading
from pathlib import Path
import numpy as np
from bpe_random_texts import random_text
from jarvis_nano.kernels import BpeEncoder
for path in sys.argv[1:]:
    raw, rng = Path(path).read_bytes(), random.Random(0)
    texts = [random_text(rng, 20_000) for _ in range(60)]
    long = "".join(texts)
    long *= 500_000 // len(long) + 1
    alone, shared = BpeEncoder(raw, n_threads=1), BpeEncoder(raw, n_threads=4)
    want, batch = alone.encode(long), alone.encode_batch(texts)[0]
    wrong = []
    def work(name):
        for _ in range(2):
            if not np.array_equal(shared.encode(long if name % 2 else long.encode()), want): wrong.append(name)
            if not np.array_equal(shared.encode_batch(texts)[0], batch): wrong.append(name)
            if shared.count(long) != len(want): wrong.append(name)
            if shared.decode(want) != alone.decode(want): wrong.append(name)
    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong, (path, wrong)
    print(path, len(want), "ids, no race")
"""
RACE_KINDS = ("french", "gpt2", "o200k", "ids past 65,535", "llama3, whole words first", "qwen2, NFC", "llama2")


def missing(kind: str) -> str:
    """Why the sanitizer cannot be used here; empty if it can."""
    if sys.platform != "linux":
        return "the sanitizers are preloaded, which is tried on Linux alone"
    if shutil.which("g++") is None:
        return "no g++"
    absent = [name for name in LIBRARIES[kind] if not library_of(name).is_absolute()]
    return f"g++ has no {', '.join(absent)}" if absent else ""


def library_of(name: str) -> Path:
    """Where g++ has a library; the bare name where it has not."""
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
    return Path(found.strip())


def sources(module: str) -> list[Path]:
    of_bpe = set((ROOT / "csrc").glob("bpe*.cpp"))
    others = of_bpe | set((ROOT / "csrc").glob("allocator*.cpp"))
    return sorted(of_bpe if module == "bpe" else set((ROOT / "csrc").glob("*.cpp")) - others)


def build(module: str, kind: str, folder: Path) -> Path:
    """A tree like the repository, by links, with a sanitized module; compiled anew where csrc/ is newer."""
    package = folder / "jarvis_nano"
    package.mkdir(parents=True, exist_ok=True)
    for entry in (ROOT / "jarvis_nano").iterdir():
        if not entry.name.startswith((f"_{module}.", "__pycache__", "kernels")):
            link(package / entry.name, entry)
    link(package / "kernels", ROOT / "kernels")
    for name in ("tests", "csrc", "kernels", "pyproject.toml", "scripts", "benchmarks"):
        link(folder / name, ROOT / name)
    suffix = sysconfig.get_config_var("EXT_SUFFIX") if module == "bpe" else ".abi3.so"
    target = package / f"_{module}{suffix}"
    newest = max(path.stat().st_mtime for path in (ROOT / "csrc").iterdir())
    if not target.exists() or target.stat().st_mtime < newest:
        compile_module(module, kind, folder, target)
    return folder


def link(place: Path, target: Path) -> None:
    if not place.is_symlink():
        place.symlink_to(target)


def compile_module(module: str, kind: str, folder: Path, target: Path) -> None:
    from torch.utils.cpp_extension import include_paths, library_paths

    includes = [f"-I{path}" for path in (*include_paths(), sysconfig.get_paths()["include"])]
    flags = ["-std=c++20", "-O1", "-g", "-fPIC", "-fno-omit-frame-pointer", "-fvisibility=hidden", "-Wno-psabi"]
    libraries = ["-lpthread"]
    if module == "ops":  # as in setup.py: torch's stable ABI
        flags += ["-DTORCH_TARGET_VERSION=0x020b000000000000", "-DPy_LIMITED_API=0x030A0000", "-ffp-contract=fast"]
        libraries += [f"-L{path}" for path in library_paths()] + ["-ltorch", "-ltorch_cpu", "-lc10"]
    objects = {source: folder / f"{source.stem}.o" for source in sources(module)}

    def compile_one(source: Path) -> None:
        subprocess.run(["g++", *flags, *FLAGS[kind], *includes, "-c", source, "-o", objects[source]], check=True)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(compile_one, objects))
    subprocess.run(["g++", "-shared", *FLAGS[kind], "-o", target, *objects.values(), *libraries], check=True)


def run(kind: str, folder: Path, arguments: list[str]) -> subprocess.CompletedProcess:
    """Python with the arguments, inside the sanitized copy."""
    # libstdc++ too: the sanitizer looks for what throws exceptions as it starts, and Python does not bring it.
    preloaded = [str(library_of(name)) for name in (*LIBRARIES[kind], "libstdc++.so")]
    path = os.pathsep.join([str(folder), str(ROOT / "tests/kernels"), os.environ.get("PYTHONPATH", "")])
    environment = {
        **os.environ,
        **OPTIONS,
        "LD_PRELOAD": " ".join(preloaded),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": path,
    }
    # The thread sanitizer of older compilers knows no address beyond 2**44: randomisation of addresses off.
    fixed = ["setarch", "-R"] if kind == "thread" and shutil.which("setarch") else []
    return subprocess.run([*fixed, sys.executable, *arguments], env=environment, cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def race_tokenizers(folder: Path) -> list[str]:
    """Native tokenizers, trained out here: the library's own threads would be reported in there."""
    from bpe_tokenizers import tokenizer_of

    from jarvis_nano.kernels import BpeEncoder

    paths = []
    for number, kind in enumerate(RACE_KINDS):
        if BpeEncoder(tokenizer_of(kind)).native:
            path = folder / f"{number}.json"
            path.write_bytes(tokenizer_of(kind))
            paths.append(str(path))
    return paths


def tests(module: str) -> list[str]:
    """pytest's arguments. The other instruction sets are tests in processes of their own; memory is the sanitizer's."""
    names = sorted((ROOT / "tests/kernels").glob("test_*.py"))
    if module == "bpe":
        chosen = [path for path in names if path.stem.startswith("test_bpe") and path.stem != "test_bpe_fuzz"]
        expression = "not memory and not instruction_set"
    else:
        ops = {source.stem.removesuffix("_cpu") for source in sources("ops")}
        chosen = [path for path in names if path.stem.removeprefix("test_") in ops]
        expression = "cpp and not memory and not instruction_set and not compile"
    return ["-m", "pytest", "-q", "-x", "-m", "not slow", "-k", expression, "-p", "no:cacheprovider", *map(str, chosen)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", choices=("bpe", "ops"))
    parser.add_argument("kind", choices=FLAGS)
    parser.add_argument("what", choices=("fuzz", "tests", "races"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / "build")
    options = parser.parse_args()
    if options.module == "ops" and options.what != "tests":
        parser.error(f"{options.what} is for bpe alone")
    if why := missing(options.kind):
        print(f"error: {why}", file=sys.stderr)
        return 2
    folder = build(options.module, options.kind, options.folder / f"{options.module}-{options.kind}")
    if options.what == "tests":
        arguments = tests(options.module)
    elif options.what == "fuzz":
        arguments = [str(ROOT / "tests/kernels/fuzz_bpe.py"), "--minutes", str(options.minutes)]
        arguments += ["--seed", str(options.seed), "--keep-going"]
    else:
        arguments = ["-c", RACES, *race_tokenizers(folder)]
    done = run(options.kind, folder, arguments)
    print(done.stdout)
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
