"""Compiles Triton kernels ahead of time, without a GPU: compile_triton.py MODULE [ARCH…] -> one JSON line each.

A process of its own, because TRITON_INTERPRET is read when a kernel is decorated. MODULE.ahead_of_time() yields
(name, kernel, signature, constants, warps); the line has registers, stack bytes and local-memory instructions.
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
    module = import_module(sys.argv[1])
    for architecture in map(int, sys.argv[2:] or ("80", "90")):
        for name, kernel, signature, constants, warps in module.ahead_of_time():
            signature = {argument: signature.get(argument, "constexpr") for argument in kernel.arg_names}
            aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind[0] == "*"}
            source = ASTSource(kernel, signature, constants, aligned)
            compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": warps})
            print(json.dumps({"kernel": name, "sm": architecture, **measure(compiled.asm["cubin"])}), flush=True)


if __name__ == "__main__":
    main()
