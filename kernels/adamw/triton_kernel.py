"""AdamW on a GPU: every weight is read and written once a step, by one launch over all tensors.

Programs take chunks of 2,048 values; tables on the device say which tensor a chunk belongs to and where the tensors
lie. Sums of squares are kept a chunk and added in a fixed order by small kernels: no atomics, so repeats are bit-equal.
Nothing waits for the GPU, and all of it can be captured in a CUDA graph once a step has run outside.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from jarvis_nano.errors import UserError

from ..ahead_of_time import Configuration

CHUNK = 2048
_WARPS = 8
_SUM = 1024  # partial sums added at once


@triton.jit
def _load(table_ptr, tensor, at, size, TYPE: tl.constexpr, ALIGNED: tl.constexpr, FULL: tl.constexpr):
    """Values of a tensor at `at`, in float32."""
    pointer = tl.load(table_ptr + tensor).to(tl.pointer_type(TYPE))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    pointer += at
    if FULL:  # a mask at an unknown size would cut the 16-byte accesses into single values
        return tl.load(pointer).to(tl.float32)
    return tl.load(pointer, at < size, other=0.0).to(tl.float32)


@triton.jit
def _store(table_ptr, tensor, at, size, value, ALIGNED: tl.constexpr, FULL: tl.constexpr):
    pointer = tl.load(table_ptr + tensor).to(tl.pointer_type(tl.float32))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    pointer += at
    if FULL:
        tl.store(pointer, value)
    else:
        tl.store(pointer, value, at < size)


@triton.jit
def _square_sums(
    grads_ptr, tensors_ptr, places_ptr, sizes_ptr, partial_ptr,
    GRAD: tl.constexpr, ALIGNED: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    chunk = tl.program_id(0)
    tensor = tl.load(tensors_ptr + chunk)
    start = tl.load(places_ptr + chunk) * VALUES
    at = start + tl.arange(0, VALUES)
    size = tl.load(sizes_ptr + tensor)
    if start + VALUES <= size:
        g = _load(grads_ptr, tensor, at, size, GRAD, ALIGNED, True)
    else:
        g = _load(grads_ptr, tensor, at, size, GRAD, ALIGNED, False)
    tl.store(partial_ptr + chunk, tl.sum(g * g, 0))


@triton.jit
def _total(partial_ptr, total_ptr, factor_ptr, n_chunks, max_norm, VALUES: tl.constexpr):
    """The norm of all gradients, and what clipping multiplies them by."""
    squares = tl.zeros((VALUES,), tl.float32)
    for start in range(0, n_chunks, VALUES):
        chunks = start + tl.arange(0, VALUES)
        squares += tl.load(partial_ptr + chunks, chunks < n_chunks, other=0.0)
    norm = tl.sqrt(tl.sum(squares, 0))
    tl.store(total_ptr, norm)
    factor = max_norm / (norm + 1e-6)
    tl.store(factor_ptr, tl.where(factor > 1.0, 1.0, factor))  # not a minimum, which could hide a NaN


@triton.jit
def _update_chunk(
    params_ptr, grads_ptr, exp_avg_ptr, exp_avg_sq_ptr, partial_ptr, n_chunks, chunk, tensor, at, size,
    factor, rate, decay, correction1, root2, beta2, rest1, rest2, eps,
    GRAD: tl.constexpr, ALIGNED: tl.constexpr, FULL: tl.constexpr,
):  # fmt: skip
    raw = _load(grads_ptr, tensor, at, size, GRAD, ALIGNED, FULL)
    g = raw * factor
    m = _load(exp_avg_ptr, tensor, at, size, tl.float32, ALIGNED, FULL)
    v = _load(exp_avg_sq_ptr, tensor, at, size, tl.float32, ALIGNED, FULL)
    p = _load(params_ptr, tensor, at, size, tl.float32, ALIGNED, FULL)
    m += (g - m) * rest1
    v = v * beta2 + g * g * rest2
    change = rate * (m / correction1) / (tl.sqrt(v) / root2 + eps) + rate * decay * p
    p -= change
    _store(exp_avg_ptr, tensor, at, size, m, ALIGNED, FULL)
    _store(exp_avg_sq_ptr, tensor, at, size, v, ALIGNED, FULL)
    _store(params_ptr, tensor, at, size, p, ALIGNED, FULL)
    if not FULL:  # past the end 0 / (0 + eps) is a number only as long as eps is not 0
        change = tl.where(at < size, change, 0.0)
    partial_ptr += chunk
    tl.store(partial_ptr, tl.sum(raw * raw, 0))
    tl.store(partial_ptr + n_chunks, tl.sum(change * change, 0))
    tl.store(partial_ptr + 2 * n_chunks, tl.sum(p * p, 0))


@triton.jit
def _update(
    params_ptr, grads_ptr, exp_avg_ptr, exp_avg_sq_ptr, tensors_ptr, places_ptr, sizes_ptr,
    partial_ptr, n_chunks, factor_ptr, decays_ptr, decay_stride,
    control_ptr, rate_stride, rate, correction1, root2, beta2, rest1, rest2, eps,
    HOST: tl.constexpr, GRAD: tl.constexpr, ALIGNED: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    chunk = tl.program_id(0)
    tensor = tl.load(tensors_ptr + chunk)
    start = tl.load(places_ptr + chunk) * VALUES
    at = start + tl.arange(0, VALUES)
    size = tl.load(sizes_ptr + tensor)
    factor = tl.load(factor_ptr)
    decay = tl.load(decays_ptr + tensor * decay_stride)
    if not HOST:
        correction1 = tl.load(control_ptr)
        root2 = tl.load(control_ptr + 1)
        rate = tl.load(control_ptr + 2 + tensor * rate_stride)
    if start + VALUES <= size:
        _update_chunk(
            params_ptr, grads_ptr, exp_avg_ptr, exp_avg_sq_ptr, partial_ptr, n_chunks, chunk, tensor, at, size,
            factor, rate, decay, correction1, root2, beta2, rest1, rest2, eps, GRAD, ALIGNED, True,
        )  # fmt: skip
    else:
        _update_chunk(
            params_ptr, grads_ptr, exp_avg_ptr, exp_avg_sq_ptr, partial_ptr, n_chunks, chunk, tensor, at, size,
            factor, rate, decay, correction1, root2, beta2, rest1, rest2, eps, GRAD, ALIGNED, False,
        )  # fmt: skip


@triton.jit
def _norms(partial_ptr, firsts_ptr, gradient_ptr, update_ptr, weight_ptr, n_chunks, VALUES: tl.constexpr):
    """Per tensor, from its chunks in order; a tensor of no values has none."""
    tensor = tl.program_id(0)
    first = tl.load(firsts_ptr + tensor)
    last = tl.load(firsts_ptr + tensor + 1)
    gradient = tl.zeros((VALUES,), tl.float32)
    update = tl.zeros((VALUES,), tl.float32)
    weight = tl.zeros((VALUES,), tl.float32)
    for start in range(first, last, VALUES):
        chunks = start + tl.arange(0, VALUES)
        mask = chunks < last
        gradient += tl.load(partial_ptr + chunks, mask, other=0.0)
        update += tl.load(partial_ptr + n_chunks + chunks, mask, other=0.0)
        weight += tl.load(partial_ptr + 2 * n_chunks + chunks, mask, other=0.0)
    tl.store(gradient_ptr + tensor, tl.sqrt(tl.sum(gradient, 0)))
    tl.store(update_ptr + tensor, tl.sqrt(tl.sum(update, 0)))
    tl.store(weight_ptr + tensor, tl.sqrt(tl.sum(weight, 0)))


_TYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}

# Tables on the device by what they hold (addresses, chunks, decays), the last used at the end. A captured CUDA graph
# goes on reading those that it met, so they are kept for good.
_tables: OrderedDict[Hashable, Tensor] = OrderedDict()
_kept: dict[Hashable, Tensor] = {}
_MOST_TABLES = 64


def _capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _upload(values: list[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """To the device without waiting for it: from pinned memory, which torch keeps until the copy is done."""
    tensor = torch.tensor(values, dtype=dtype)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _table(key: Hashable, values: Callable[[], list[Any]], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A table that depends on `key` alone: from the cache, or uploaded."""
    key = (key, dtype, device)
    found = _kept.get(key)
    if found is None:
        found = _tables.get(key)
        if found is None and _capturing(device):
            raise UserError("adamw_step in a CUDA graph: run one step on these tensors before capturing")
        if found is None:
            found = _tables[key] = _upload(values(), dtype, device)
            if len(_tables) > _MOST_TABLES:
                _tables.popitem(last=False)
        elif _capturing(device):
            _kept[key] = found
    if key in _tables:
        _tables.move_to_end(key)
    return found


def _addresses(tensors: list[Tensor], device: torch.device) -> Tensor:
    """Where the tensors lie. Gradients are often somewhere else in a graph; their addresses are then written by it."""
    addresses = tuple(tensor.data_ptr() for tensor in tensors)
    key = ("addresses", addresses)
    if _capturing(device) and (key, torch.int64, device) not in _kept | _tables:
        return torch.stack([torch.full((), address, dtype=torch.int64, device=device) for address in addresses])
    return _table(key, lambda: list(addresses), torch.int64, device)


class _Chunks(NamedTuple):
    """How tensors of these sizes are cut: for each chunk its tensor and its place in it; for each tensor its size and
    its first chunk (with one more entry: the number of chunks)."""

    n: int
    tensors: Tensor
    places: Tensor
    sizes: Tensor
    firsts: Tensor


def _chunks(sizes: tuple[int, ...], device: torch.device) -> _Chunks:
    counts = [triton.cdiv(size, CHUNK) for size in sizes]
    tables: dict[str, tuple[Callable[[], list[int]], torch.dtype]] = {
        "tensors": (lambda: [i for i, count in enumerate(counts) for _ in range(count)], torch.int32),
        "places": (lambda: [place for count in counts for place in range(count)], torch.int64),
        "sizes": (lambda: list(sizes), torch.int64),
        "firsts": (lambda: [0, *itertools.accumulate(counts)], torch.int32),
    }
    on_device = {name: _table((name, sizes), build, dtype, device) for name, (build, dtype) in tables.items()}
    return _Chunks(sum(counts), **on_device)


class _Rates(NamedTuple):
    """The learning rate and the bias corrections: numbers, or where all three lie on the device, rates behind two
    corrections."""

    rate: float
    correction1: float
    root2: float
    control: Tensor | None
    stride: int


def _rates(lr: Tensor, step: Tensor, betas: tuple[float, float], device: torch.device) -> _Rates:
    on_host = lr.device.type == "cpu" and step.device.type == "cpu"
    values = lr.tolist() if lr.device.type == "cpu" else None
    if isinstance(values, list) and len(set(values)) == 1:
        values = values[0]
    if step.device.type == "cpu":
        one, two = (1 - beta ** int(step) for beta in betas)
        corrections = [one, two**0.5]
    if (on_host or device.type == "cpu") and isinstance(values, float):
        return _Rates(values, *corrections, control=None, stride=0)
    parts: list[Tensor] = []
    if step.device.type == "cpu":
        parts += [torch.full((1,), value, device=device) for value in corrections]
    else:  # float64: 1 - β₂ᵗ has lost four digits in float32 at the first step
        first, second = (1 - beta ** step.to(torch.float64).reshape(1) for beta in betas)
        parts += [first, second.sqrt()]
    if values is None:
        parts.append(lr.to(device).reshape(-1))
    elif isinstance(values, float):
        parts.append(torch.full((1,), values, device=device))
    else:
        parts.append(_table(("rates", tuple(values)), lambda: values, torch.float32, device))
    control = torch.cat([part.to(torch.float32) for part in parts])
    return _Rates(0.0, 0.0, 0.0, control, stride=0 if len(control) == 3 else 1)


def _require(params: list[Tensor], grads: list[Tensor], exp_avg: list[Tensor], exp_avg_sq: list[Tensor]) -> None:
    for name, tensors in (("params", params), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        for i, tensor in enumerate(tensors):
            if tensor.device != params[0].device:  # addresses on another GPU mean nothing to this one
                raise UserError(f"{name}[{i}] is on {tensor.device}, params[0] on {params[0].device}; one step a GPU")
            if tensor.dtype != torch.float32 or not tensor.is_contiguous():
                raise UserError(
                    f"adamw_step in triton updates contiguous float32 tensors in place; {name}[{i}] is {tensor.dtype} "
                    f"with strides {tensor.stride()}"
                )
    dtypes = {grad.dtype for grad in grads}
    if len(dtypes) > 1 or not dtypes <= set(_TYPES):
        raise UserError(
            f"adamw_step in triton takes gradients of one dtype, float32, bfloat16 or float16; these are "
            f"{', '.join(sorted(map(str, dtypes)))}"
        )


def step(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avg: list[Tensor],
    exp_avg_sq: list[Tensor],
    lr: Tensor,
    weight_decay: Tensor,
    step: Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    max_norm: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As reference.step."""
    _require(params, grads, exp_avg, exp_avg_sq)
    device = params[0].device
    grads = [grad.contiguous() for grad in grads]
    chunks = _chunks(tuple(p.numel() for p in params), device)
    where = [_addresses(tensors, device) for tensors in (params, grads, exp_avg, exp_avg_sq)]
    aligned = all(t.data_ptr() % 16 == 0 for tensors in (params, grads, exp_avg, exp_avg_sq) for t in tensors)
    cut = (chunks.tensors, chunks.places, chunks.sizes)
    decays = weight_decay.reshape(-1)
    if decays.device.type == "cpu" and device.type != "cpu":
        values = tuple(decays.tolist())
        decays = _table(("decays", values), lambda: list(values), torch.float32, device)
    decays = decays.to(device, torch.float32)
    rates = _rates(lr, step, (beta1, beta2), device)
    n = len(params)
    partial = torch.empty((3, max(1, chunks.n)), dtype=torch.float32, device=device)
    gradient, update, weight = (torch.empty(n, dtype=torch.float32, device=device) for _ in range(3))
    total, factor = torch.empty((), device=device), torch.ones((), device=device)
    shape = {"GRAD": _TYPES[grads[0].dtype], "ALIGNED": aligned, "VALUES": CHUNK, "num_warps": _WARPS}
    if chunks.n and max_norm is not None:
        _square_sums[(chunks.n,)](where[1], *cut, partial, **shape)
        _total[(1,)](partial, total, factor, chunks.n, max_norm, VALUES=_SUM)
    if chunks.n:
        _update[(chunks.n,)](
            *where, *cut, partial, chunks.n, factor, decays, 0 if len(decays) == 1 else 1,
            rates.control, rates.stride, rates.rate, rates.correction1, rates.root2, beta2, 1 - beta1, 1 - beta2, eps,
            HOST=rates.control is None, **shape,
        )  # fmt: skip
    _norms[(n,)](partial, chunks.firsts, gradient, update, weight, chunks.n, VALUES=_SUM)
    if not chunks.n or max_norm is None:
        _total[(1,)](partial, total, torch.empty_like(factor), chunks.n, 0.0, VALUES=_SUM)
    # torch does not see what a kernel writes through an address: autograd must know that saved tensors have changed.
    torch.autograd.graph.increment_version((*params, *exp_avg, *exp_avg_sq))
    return gradient, update, weight, total


def ahead_of_time(architecture: int) -> Iterator[Configuration]:
    """Every dtype of gradients, with the rates as numbers and on the device; the same for all architectures. Of the
    unaligned ones, the float32 one."""
    tables = {"grads_ptr": "*i64", "tensors_ptr": "*i32", "places_ptr": "*i64", "sizes_ptr": "*i64"}
    for dtype, on_host in itertools.product((tl.float32, tl.bfloat16, tl.float16), (True, False)):
        shape = {"GRAD": dtype, "ALIGNED": True, "VALUES": CHUNK}
        pointers = tables | dict.fromkeys(("params_ptr", "exp_avg_ptr", "exp_avg_sq_ptr"), "*i64")
        pointers |= dict.fromkeys(("partial_ptr", "factor_ptr", "decays_ptr"), "*fp32")
        numbers = ("rate", "correction1", "root2", "beta2", "rest1", "rest2", "eps")
        sizes = dict.fromkeys(numbers, "fp32") | dict.fromkeys(("n_chunks", "decay_stride", "rate_stride"), "i32")
        control = {"control_ptr": None} if on_host else {}
        signature = pointers | sizes | ({} if on_host else {"control_ptr": "*fp32"})
        name = f"update {dtype} rates {'as numbers' if on_host else 'on the device'}"
        yield Configuration(name, _update, signature, shape | control | {"HOST": on_host}, _WARPS)
        if on_host:
            signature = tables | {"partial_ptr": "*fp32"}
            yield Configuration(f"square_sums {dtype}", _square_sums, signature, shape, _WARPS)
        elif dtype == tl.float32:
            shape["ALIGNED"] = False
            yield Configuration(f"{name}, unaligned", _update, signature, shape | {"HOST": False}, _WARPS)
    floats = dict.fromkeys(("partial_ptr", "total_ptr", "factor_ptr"), "*fp32")
    yield Configuration("total", _total, floats | {"n_chunks": "i32", "max_norm": "fp32"}, {"VALUES": _SUM})
    floats = dict.fromkeys(("partial_ptr", "gradient_ptr", "update_ptr", "weight_ptr"), "*fp32")
    yield Configuration("norms", _norms, floats | {"firsts_ptr": "*i32", "n_chunks": "i32"}, {"VALUES": _SUM})
