"""Compiles Triton kernels ahead of time, without a GPU: compile_triton.py [--ones] MODULE [ARCH…] -> a JSON line each.

A process of its own, because TRITON_INTERPRET is read when a kernel is decorated. MODULE.ahead_of_time(architecture)
yields configurations; the line has registers, stack bytes, local-memory instructions and bytes of shared memory.
--ones: every whole number is 1, of which a launch makes a constant, and constants lack what values have.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

# Bytes of shared memory that one block can have (CUDA C++ Programming Guide, compute capabilities).
SHARED_LIMIT = {80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10, 120: 99 << 10}
BINARIES = Path(triton.__file__).parent / "backends/nvidia/bin"


def measure(cubin: bytes) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage, code = (
            subprocess.run([BINARIES / "cuobjdump", flag, file.name], capture_output=True, text=True, check=True).stdout
            for flag in ("-res-usage", "-sass")
        )
    return {
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "stack": int(re.search(r"STACK:(\d+)", usage)[1]),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", code)),
    }


def main() -> None:
    ones = "--ones" in sys.argv
    name_of_module, *architectures = [argument for argument in sys.argv[1:] if argument != "--ones"]
    module = import_module(name_of_module)
    for architecture in map(int, architectures or ("80", "90")):
        for wanted in module.ahead_of_time(architecture):
            signature = {name: wanted.signature.get(name, "constexpr") for name in wanted.kernel.arg_names}
            constants = dict(wanted.constants)
            if ones:
                constants |= {name: 1 for name, kind in signature.items() if kind in ("i32", "i64")}
                signature = {name: "constexpr" if kind in ("i32", "i64") else kind for name, kind in signature.items()}
            missing = [name for name, kind in signature.items() if kind == "constexpr" and name not in constants]
            assert not missing, f"{wanted.name}: neither a type nor a value for {missing}"
            aligned = {
                (i,): [["tt.divisibility", 16]]
                for i, (name, kind) in enumerate(signature.items())
                if kind[0] == "*" or (name in wanted.divisible and kind != "constexpr")
            }
            constants = {name: constants[name] for name, kind in signature.items() if kind == "constexpr"}
            source = ASTSource(wanted.kernel, signature, constants, aligned)
            options = {"num_warps": wanted.num_warps, "num_stages": wanted.num_stages}
            options |= {} if wanted.maxnreg is None else {"maxnreg": wanted.maxnreg}
            compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
            line = {"kernel": wanted.name, "sm": architecture, **measure(compiled.asm["cubin"])}
            line |= {"shared": compiled.metadata.shared, "shared_limit": SHARED_LIMIT[architecture]}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
