"""The only place that chooses a backend, and the one that loads the compiled kernels.

The choice: the explicit argument, then `with use_backend("…")`, then JARVIS_NANO_BACKEND, then the order of the device.
A backend asked for by name runs or raises with the reason; "auto" takes the first of the order that can run.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from jarvis_nano.errors import UserError

NAMES = ("reference", "cpp", "triton", "cuda")
ORDER = {"cpu": ("cpp", "reference"), "cuda": ("cuda", "triton", "reference")}  # on a GPU: see PROVEN_ON_GPU

# Compute capability -> op -> its kernels that have passed their tests on such a GPU, the fastest first: written by
# `make gpu`. "auto" takes no other kernel on a GPU; the rest run by name. CPU kernels are tested by `make test`.
PROVEN_ON_GPU = Path(__file__).with_name("proven_on_gpu.json")

# Where every op of ours is registered: schemas and fakes in kernels/<op>/op.py, compiled kernels by jarvis_nano._ops.
LIBRARY = torch.library.Library("jarvis_nano", "FRAGMENT")

_log = logging.getLogger("jarvis_nano.kernels")
_wished = os.environ.get("JARVIS_NANO_BACKEND", "auto")  # what auto means now; read once, a look-up costs 0.7 us


_registered: dict[str, Op] = {}


class Kernel(NamedTuple):
    """The two functions of a backend, the same for every backend of an op."""

    forward: Callable
    backward: Callable


def implement_in_triton(name: str, function: Callable) -> None:
    """Registers `function` as the op's overload `.triton`."""
    LIBRARY.impl(f"{name}.triton", on_the_tensors_gpu(function), "CompositeExplicitAutograd")


def on_the_tensors_gpu(function: Callable) -> Callable:
    """`function` with the GPU of its first tensor as the current one: Triton launches there, whatever it is given."""

    @wraps(function)
    def there(*arguments):
        tensor = arguments[0][0] if isinstance(arguments[0], (list, tuple)) else arguments[0]
        if not tensor.is_cuda or tensor.get_device() == torch.cuda.current_device():
            return function(*arguments)
        with torch.cuda.device(tensor.device):
            return function(*arguments)

    return there


def constant_when_compiled(function: Callable) -> Callable:
    """torch.compiler.assume_constant_result, but for importing the compiler: 160 MB and a second and a half."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True)
class Op:
    """An op: where its backends come from, and what each takes (a backend without an entry takes all).

    `load[backend]()` returns its Kernel; it is called when the backend is first chosen, so that importing the op
    imports neither Triton nor the compiled module. `widths` are those of the tensor's last dimension.
    """

    name: str
    load: Mapping[str, Callable[[], Kernel]]
    dtypes: Mapping[str, tuple[torch.dtype, ...]] = field(default_factory=dict)
    widths: Mapping[str, Sequence[int]] = field(default_factory=dict)
    lacks: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)  # what else a backend needs and misses
    kernels: dict[str, Kernel] = field(default_factory=dict)  # those loaded so far
    _chosen: dict[tuple[str, str, torch.dtype, int | None], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _registered[self.name] = self

    def choose(self, tensor: Tensor, backend: str = "auto") -> str:
        """The backend that runs this op on `tensor`: a key of `kernels`. UserError when the one asked for cannot."""
        width = tensor.shape[-1] if self.widths else None
        key = (_wished if backend == "auto" else backend, tensor.device.type, tensor.dtype, width)
        if torch.compiler.is_compiling():
            return _resolve(self.name, *key)
        return self._chosen.get(key) or _resolve(self.name, *key)

    def why_not(
        self, backend: str, device: str, dtype: torch.dtype | None = None, width: int | None = None
    ) -> str | None:
        """Why `backend` cannot run this op on such tensors (None: whatever it takes); None: it can."""
        if backend not in self.load:
            return f"{self.name} has no {backend} backend; it has {', '.join(self.load)}"
        if dtype is not None and dtype not in self.dtypes.get(backend, (dtype,)):
            takes = ", ".join(_short(d) for d in self.dtypes[backend])
            return f"{self.name} in {backend} takes {takes}, not {_short(dtype)}"
        if width is not None and width not in self.widths.get(backend, (width,)):
            return f"{self.name} in {backend} takes widths of {_listed(self.widths[backend])}, not {width}"
        return _PLATFORM[backend](device) or (self.lacks[backend]() if backend in self.lacks else None)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _listed(widths: Sequence[int]) -> str:
    return f"{widths[0]} to {widths[-1]}" if isinstance(widths, range) else " or ".join(map(str, widths))


@constant_when_compiled
def _resolve(name: str, backend: str, device: str, dtype: torch.dtype, width: int | None) -> str:
    """The slow half of Op.choose, once for each key; torch.compile takes the result as a constant."""
    op = _registered[name]
    if backend not in (*NAMES, "auto"):
        raise UserError(f"unknown backend {backend!r}; expected auto, {', '.join(NAMES)}")
    if backend == "auto":
        chosen, reasons = _first_usable(op, device, dtype, width)
        # Said aloud where something could be done about a slow choice: build the kernels, or prove them.
        slow = bool(missing_ops()) if device == "cpu" else chosen == "reference" and bool(reasons)
        _log.log(
            logging.WARNING if slow else logging.INFO,
            "%s on %s in %s: %s%s", op.name, device, _short(dtype), chosen, f" ({'; '.join(reasons)})" * bool(reasons)
        )  # fmt: skip
    else:
        chosen = backend
        reason = op.why_not(backend, device, dtype, width)
        if reason:
            raise UserError(f"backend {backend!r} cannot run {op.name}: {reason}")
    if chosen not in op.kernels:
        op.kernels[chosen] = op.load[chosen]()
    op._chosen[backend, device, dtype, width] = chosen
    return chosen


def _first_usable(op: Op, device: str, dtype: torch.dtype, width: int | None) -> tuple[str, list[str]]:
    reasons: list[str] = []
    proven = proven_on_this_gpu(op.name) if device == "cuda" else ()
    for name in [*proven, *(n for n in ORDER.get(device, ("reference",)) if n not in proven)]:
        if name not in op.load:
            continue
        reason = auto_refusal(op, name, device) or op.why_not(name, device, dtype, width)
        if reason is None:
            return name, reasons
        reasons.append(reason)
    return "reference", reasons


@cache
def proven_on_this_gpu(op: str) -> tuple[str, ...]:
    """The op's kernels that have passed their tests on a GPU of this kind, the fastest first."""
    if not torch.cuda.is_available() or not PROVEN_ON_GPU.exists():
        return ()
    capability = "{}.{}".format(*torch.cuda.get_device_capability())
    table = json.loads(PROVEN_ON_GPU.read_text(encoding="utf-8"))
    return tuple(table.get(capability, {}).get(op, ()))


def auto_refusal(op: Op, backend: str, device: str) -> str | None:
    """Why auto leaves a backend alone that may well run; None: it does not."""
    if device == "cpu" or backend == "reference" or backend in proven_on_this_gpu(op.name):
        return None
    return f"{backend} has not passed its tests on a GPU of this kind; run `make gpu`, or ask for it by name"


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within the block every op called with backend="auto" runs on this backend, in all threads of the process."""
    global _wished
    if name not in (*NAMES, "auto"):
        raise UserError(f"unknown backend {name!r}; expected auto, {', '.join(NAMES)}")
    before, _wished = _wished, name
    try:
        yield
    finally:
        _wished = before


def wished() -> str:
    """What backend="auto" means now: the innermost use_backend, else JARVIS_NANO_BACKEND, else auto."""
    return _wished


@cache
def missing_ops() -> str | None:
    """Loads the compiled kernels, once. None: they are there; else what is missing and how to get it."""
    try:
        import_module("jarvis_nano._ops")
    except ModuleNotFoundError:
        return "the compiled kernels are not built; run: python setup.py build_ext --inplace, or: pip install -e ."
    except ImportError as error:
        return f"the compiled kernels do not load ({error}); build them again: pip install --force-reinstall -e ."
    return None


def _why_not_reference(device: str) -> str | None:
    return None


def _why_not_cpp(device: str) -> str | None:
    return f"its kernels run on the CPU, the tensor is on {device}" if device != "cpu" else missing_ops()


def is_built(op: Op, backend: str) -> bool:
    """Whether the code of a backend is there, with or without the hardware to run it."""
    if backend == "triton":
        return find_spec("triton") is not None
    if backend == "cuda":
        return has_cuda_kernels()
    return backend == "reference" or missing_ops() is None


def instruction_set() -> str:
    """What the compiled CPU kernels use here: portable, avx2, avx512, or amx where JARVIS_NANO_CPU asks for it."""
    reason = missing_ops()
    if reason:
        raise UserError(reason)
    return ("portable", "avx2", "avx512", "amx")[torch.ops.jarvis_nano.cpu_instruction_set()]


def has_cuda_kernels() -> bool:
    """Whether the compiled module holds CUDA kernels (with or without a GPU to run them)."""
    if missing_ops():
        return False
    return bool(torch.ops.jarvis_nano.has_cuda_kernels())


def _why_not_cuda(device: str) -> str | None:
    if device != "cuda":
        return f"its kernels run on a GPU, the tensor is on {device}"
    if missing_ops() or has_cuda_kernels():
        return missing_ops()
    return "built without CUDA: install the CUDA toolkit (nvcc) beside a torch that has CUDA, then: pip install -e ."


def _why_not_triton(device: str) -> str | None:
    if find_spec("triton") is None:
        return "triton is not installed; on Linux: pip install 'triton>=3.6,<3.8'"
    if device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        return "Triton needs a GPU (on the CPU it is interpreted, for tests: TRITON_INTERPRET=1)"
    return None if device in ("cpu", "cuda") else f"Triton runs on GPUs, the tensor is on {device}"


_PLATFORM: dict[str, Callable[[str], str | None]] = {
    "reference": _why_not_reference,
    "cpp": _why_not_cpp,
    "triton": _why_not_triton,
    "cuda": _why_not_cuda,
}

# Every op with backends, by the module that holds it: the doctor and `available` go through them.
OPS = {
    "adamw_step": ".adamw.op",
    "activation": ".activation.op",
    "causal_attention": ".attention.op",
    "layer_norm": ".layernorm.op",
    "linear": ".linear_layer.op",
    "linear_cross_entropy": ".cross_entropy.op",
    "rotary": ".rotary.op",
}


def all_ops() -> dict[str, Op]:
    return {name: import_module(home, __package__).OP for name, home in OPS.items()}


def available(device: str | None = None) -> dict[str, tuple[str, ...]]:
    """For each op the backends that run here, by name or by choice: on `device`, or on any that this machine has."""
    devices = [device] if device else ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    return {
        name: tuple(b for b in op.load if any(op.why_not(b, d) is None for d in devices))
        for name, op in all_ops().items()
    }
