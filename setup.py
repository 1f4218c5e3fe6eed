"""Builds the compiled modules. Metadata lies in pyproject.toml.

jarvis_nano._ops  the kernels behind torch.library ops: csrc/*bindings.cpp (the only files that include torch, by its
                  stable ABI, so that one binary serves torch 2.11 and later), csrc/*_cpu.cpp and their twins for AVX2,
                  AVX-512 and AMX, and csrc/*_cuda.cu where nvcc is found and torch has CUDA (JARVIS_NANO_CUDA: auto,
                  off, or link = build anyway).
jarvis_nano._bpe  the tokenizer's encoder, pybind11 without torch: csrc/bpe*.cpp.
jarvis_nano._allocator  where large CPU tensors lie, pybind11 and torch's c10: csrc/allocator*.cpp. It serves only the
                  torch that it was compiled against.

`python setup.py build_ext --inplace` rebuilds what changed, in seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
CSRC = Path("csrc")
TORCH = "torch>=2.11,<2.14"
TARGET = "0x020b000000000000"  # the ABI of torch 2.11: older headers, newer libraries
PAIRS = "jarvis_nano.evaluation.minimal_pairs"  # a folder of data: named as a package, or setuptools warns
# Ampere and Hopper; the newest also as PTX, for what comes after. Numbers apart by commas in the variable: those alone.
CUDA_ARCHITECTURES = tuple(os.environ.get("JARVIS_NANO_CUDA_ARCHITECTURES", "80,90").split(","))


def find_torch() -> bool:
    """Whether a torch to compile against is there, this interpreter's own included.

    pip's isolated build hides the environment that it installs into; without this look a second torch is unpacked.
    """
    if find_spec("torch"):
        return True
    site = sysconfig.get_path("purelib")
    for metadata in Path(site).glob("torch-*.dist-info"):
        version = re.match(r"torch-(\d+)\.(\d+)", metadata.name)
        if version and (2, 11) <= (int(version[1]), int(version[2])) < (2, 14):
            sys.path.append(site)
            return True
    return False


def sources(*patterns: str) -> list[str]:
    return sorted({str(path.relative_to(ROOT)) for pattern in patterns for path in (ROOT / CSRC).glob(pattern)})


def compile_flags() -> list[str]:
    # -ffp-contract=fast: multiply-add where the instruction set has it. No -ffast-math: it folds rounding tricks away.
    flags = ["-std=c++20", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
    return [*flags, "-fvisibility=hidden", "-Wall", "-Wno-psabi", "-Wno-maybe-uninitialized", "-Wno-uninitialized"]


def link_flags() -> list[str]:
    return [] if sys.platform == "darwin" else ["-Wl,-s"]


def cuda_home(torch) -> Path | None:
    """The CUDA toolkit to build with; None: build without CUDA."""
    wish = os.environ.get("JARVIS_NANO_CUDA", "auto")
    if wish not in ("auto", "off", "link"):
        sys.exit(f"JARVIS_NANO_CUDA is {wish!r}; expected auto, off or link")
    if wish == "off" or (wish == "auto" and torch.version.cuda is None):
        return None
    wished, path = os.environ.get("CUDA_HOME"), os.environ.get("PATH", "")
    folders = [wished + "/bin", path] if wished else [path, "/usr/local/cuda/bin"]
    nvcc = shutil.which("nvcc", path=os.pathsep.join(folders))
    if nvcc is None:
        if wish == "link":
            sys.exit("JARVIS_NANO_CUDA=link: nvcc not found; install the CUDA toolkit, or set CUDA_HOME or PATH")
        print(
            f"jarvis_nano: torch has CUDA {torch.version.cuda} but nvcc was not found: no CUDA kernels are built "
            "(Triton's still run). To get them install the CUDA toolkit and set CUDA_HOME.",
            file=sys.stderr,
        )
        return None
    # nvcc on PATH may be a wrapper far from the toolkit: it knows its own home.
    plan = subprocess.run([nvcc, "-v", "--dryrun", "-x", "cu", os.devnull], capture_output=True, text=True).stderr
    top = re.search(r"^#\$ TOP=(.+)$", plan, re.MULTILINE)
    return Path(top[1]).resolve() if top else Path(nvcc).resolve().parent.parent


def nvcc_command(home: Path, source: str, target: Path) -> list[str]:
    architectures = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in CUDA_ARCHITECTURES]
    newest = CUDA_ARCHITECTURES[-1]
    architectures.append(f"-gencode=arch=compute_{newest},code=compute_{newest}")
    flags = [
        "-std=c++20",
        "-O3",
        "-Xcompiler=-fPIC,-fvisibility=hidden,-g0",
        "-Xptxas=-warn-spills,-warn-lmem-usage",
    ]
    return [str(home / "bin/nvcc"), *flags, *architectures, "-c", source, "-o", str(target)]


def ops_extension(torch, home: Path | None) -> Extension:
    from torch.utils.cpp_extension import CppExtension

    macros = [("TORCH_TARGET_VERSION", TARGET)]
    libraries: list[str] = []
    library_dirs: list[str] = []
    if home:
        macros.append(("JARVIS_NANO_CUDA", "1"))
        library_dirs = [str(path) for path in (home / "lib64", home / "targets/x86_64-linux/lib") if path.exists()]
        # On CPU torch the static runtime lets the library load where there is no driver and no libcudart.
        libraries = ["torch_cuda", "cudart"] if torch.version.cuda else ["cudart_static", "rt", "pthread", "dl"]
        if torch.version.cuda:
            macros.append(("USE_CUDA", "1"))  # declares torch's own stream getter
    kernels = sources("*bindings.cpp", "*_cpu.cpp", "*_avx2.cpp", "*_avx512.cpp", "*_amx.cpp")
    return CppExtension(
        "jarvis_nano._ops",
        sorted({*kernels} - {*sources("bpe*.cpp")}),
        depends=sources("*.h", "*.inc", "*.cu", "*.cuh"),
        define_macros=macros,
        extra_compile_args=compile_flags(),
        extra_link_args=link_flags(),
        libraries=libraries,
        library_dirs=library_dirs,
        py_limited_api=True,
    )


def bpe_extension() -> Extension:
    from torch.utils.cpp_extension import include_paths  # torch carries pybind11's headers; nothing of torch is linked

    return Extension(
        "jarvis_nano._bpe",
        sources("bpe*.cpp"),
        depends=sources("*.h", "*.inc"),
        include_dirs=include_paths(),
        extra_compile_args=[*compile_flags(), "-pthread"],
        extra_link_args=[*link_flags(), "-pthread"],
        language="c++",
    )


def allocator_extension() -> Extension:
    from torch.utils.cpp_extension import CppExtension

    return CppExtension(
        "jarvis_nano._allocator",
        sources("allocator*.cpp"),
        depends=sources("arena.h"),
        extra_compile_args=compile_flags(),
        extra_link_args=link_flags(),
    )


def build_command(home: Path | None):
    """torch's build_ext, with nvcc for the .cu files in front and a plain message behind."""
    from torch.utils.cpp_extension import BuildExtension

    class Build(BuildExtension):
        def finalize_options(self) -> None:
            super().finalize_options()
            self.force = True  # ninja compiles only what changed; setuptools alone would miss a changed flag

        def build_extensions(self) -> None:
            compiler = os.environ.get("CXX") or "c++"
            if shutil.which(compiler.split()[0]) is None and shutil.which("g++") is None:
                sys.exit(
                    "jarvis_nano: no C++ compiler found, and the kernels are compiled here. Install one and run this "
                    "again:\n  Debian, Ubuntu: apt install g++    Fedora: dnf install gcc-c++    macOS: xcode-select "
                    "--install\nor name yours: CXX=/path/to/g++"
                )
            if home:
                self.extensions[0].extra_objects = [str(self.compile_cuda(source)) for source in sources("*_cuda.cu")]
            super().build_extensions()

        def compile_cuda(self, source: str) -> Path:
            target = Path(self.build_temp) / f"{Path(source).stem}.cuda.o"
            needs = [source, __file__, *sources("*.h", "*.cuh")]
            if not target.exists() or target.stat().st_mtime < max(os.stat(need).st_mtime for need in needs):
                target.parent.mkdir(parents=True, exist_ok=True)
                self.spawn(nvcc_command(home, source, target))
            return target

    return Build


def packages() -> list[str]:
    """The packages by name: kernels/ lies beside jarvis_nano/ and is imported as jarvis_nano.kernels."""
    kernels = [f"jarvis_nano.kernels.{name}" for name in find_packages("kernels")]
    return [*find_packages(include=["jarvis_nano", "jarvis_nano.*"]), "jarvis_nano.kernels", *kernels, PAIRS]


def main() -> None:
    extensions: list[Extension] = []
    command: type = build_ext
    present = find_torch()
    if present:
        import torch

        home = cuda_home(torch)
        extensions = [ops_extension(torch, home)]
        if (ROOT / CSRC / "bpe_module.cpp").exists():
            extensions.append(bpe_extension())
        if os.name == "posix":
            extensions.append(allocator_extension())
        command = build_command(home)
    elif "build_ext" in sys.argv:
        sys.exit(f"jarvis_nano: the kernels are compiled against torch, which is not there; pip install '{TORCH}'")
    setup(
        packages=packages(),
        package_dir={"jarvis_nano": "jarvis_nano", "jarvis_nano.kernels": "kernels"},
        package_data={
            "jarvis_nano": ["*.pyi", "py.typed"],
            PAIRS: ["*.tsv"],
            "jarvis_nano.observe.report": ["*.css", "*.js"],
            "jarvis_nano.kernels": ["*.json"],
        },
        ext_modules=extensions,
        cmdclass={"build_ext": command},
        setup_requires=[] if present else [TORCH],
        zip_safe=False,
    )


main()
