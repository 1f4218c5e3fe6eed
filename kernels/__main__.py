"""The doctor: python -m jarvis_nano.kernels [--json] — for each op and backend: built, usable, chosen, why not, error.

The error is the largest difference from the reference, over the results and all gradients of one small call. Then the
kinds of tokenizer.json that the compiled encoder covers; with --tokenizer DIR only whether it covers that one.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from torch import Tensor

from . import backends
from .activation.op import gelu, relu_squared, swiglu
from .adamw.op import adamw_step
from .attention.op import causal_attention
from .bpe.op import BACKENDS as BPE_BACKENDS
from .bpe.op import BpeEncoder, BpeFileError
from .bpe.op import extension as bpe_extension
from .cross_entropy.op import linear_cross_entropy
from .layernorm.op import layer_norm, rms_norm
from .linear_layer.op import linear
from .rotary.op import apply_rotary

TEXT = "L'été, les enfants de l'école jouent dans le jardin ; il fait si beau qu'ils ont oublié l'heure."
TOLERANCE = 1e-3  # float32, values of about 1: beyond this a kernel is wrong, not merely rounded


@dataclass(frozen=True)
class Line:
    """One backend of one op on this machine."""

    op: str
    backend: str
    built: bool
    usable: bool
    chosen: bool
    why_not: str
    error: float | None  # None: it did not run


@dataclass(frozen=True)
class Kind:
    """One kind of tokenizer.json: is the compiled encoder used for it, else why not; how many ids are wrong."""

    kind: str
    native: bool
    why_not: str
    error: float


def _drawn(*shape: int, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(device).requires_grad_()


def _norms(backend: str, device: str) -> list[Tensor]:
    x, residual, weight, bias = (_drawn(*s, device=device) for s in ((5, 3, 72), (5, 3, 72), (72,), (72,)))
    y, total = layer_norm(x, weight, bias, residual=residual, backend=backend)
    outputs = [y, total, rms_norm(total, weight, backend=backend)]
    return [*outputs, *torch.autograd.grad(outputs, [x, residual, weight, bias], outputs)]


def _attention(backend: str, device: str) -> list[Tensor]:
    q, k, v = (_drawn(2, heads, 70, 32, device=device) for heads in (4, 2, 2))
    out = causal_attention(q, k, v, window=40, backend=backend)
    return [out, *torch.autograd.grad(out, [q, k, v], out)]


def _cross_entropy(backend: str, device: str) -> list[Tensor]:
    x, weight = _drawn(12, 24, device=device), _drawn(40, 24, device=device)
    target = torch.arange(12, device=device) * 3
    figures = linear_cross_entropy(x, weight, target, z_loss=1e-3, backend=backend)
    return [*figures, *torch.autograd.grad(figures.loss.mean(), [x, weight])]


def _linear(backend: str, device: str) -> list[Tensor]:
    x, weight, bias = (_drawn(*shape, device=device) for shape in ((3, 30, 70), (40, 70), (40,)))
    y = linear(x, weight, bias, backend=backend)
    return [y, *torch.autograd.grad(y, [x, weight, bias], torch.ones_like(y))]


def _rotary(backend: str, device: str) -> list[Tensor]:
    x, angle = _drawn(2, 9, 3, 16, device=device), _drawn(12, 8, device=device).detach()
    positions = torch.arange(9, device=device) + 3
    y = apply_rotary(x, angle.cos(), angle.sin(), positions, backend=backend)
    return [y, *torch.autograd.grad(y, x, x)]


def _activations(backend: str, device: str) -> list[Tensor]:
    x, bias = _drawn(7, 40, device=device), _drawn(40, device=device)
    outputs = [f(x, bias, backend=backend) for f in (gelu, swiglu, relu_squared)]
    return [*outputs, *torch.autograd.grad(outputs, [x, bias], outputs)]


def _adamw(backend: str, device: str) -> list[Tensor]:
    lists = [[_drawn(*shape, device=device).detach() for shape in ((9, 40), (3,), (2100,))] for _ in range(4)]
    params, _, _, exp_avg_sq = lists
    for v in exp_avg_sq:
        v.abs_()
    norms = adamw_step(*lists, lr=1e-2, weight_decay=[0.1, 0.0, 0.1], step=3, max_norm=1.0, backend=backend)
    return [*params, *norms]


SAMPLES: dict[str, Callable[[str, str], list[Tensor]]] = {
    "adamw_step": _adamw,
    "rotary": _rotary,
    "activation": _activations,
    "layer_norm": _norms,
    "causal_attention": _attention,
    "linear": _linear,
    "linear_cross_entropy": _cross_entropy,
}


def largest_error(op: str, backend: str, device: str) -> float:
    sample = SAMPLES[op]
    pairs = zip(sample(backend, device), sample("reference", device), strict=True)
    return torch.stack([(ours.float() - theirs.float()).abs().max().cpu() for ours, theirs in pairs]).max().item()


def examine(op: backends.Op) -> list[Line]:
    """What each backend of an op can do here, on the GPU where there is one, else on the CPU."""
    devices = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    chosen = {device: op.choose(torch.empty(0, device=device)) for device in devices}
    lines = []
    for backend in op.load:
        able = [device for device in devices if op.why_not(backend, device) is None]
        if not able:  # the reason on the device that this backend is for
            why_not = op.why_not(backend, "cuda" if backend == "cuda" else devices[0]) or "no GPU on this machine"
        elif backend not in chosen.values():
            why_not = backends.auto_refusal(op, backend, able[0]) or ""
        else:
            why_not = ""
        error = max((largest_error(op.name, backend, device) for device in able), default=None)
        built = backends.is_built(op, backend)
        lines.append(Line(op.name, backend, built, bool(able), backend in chosen.values(), why_not, error))
    return lines


def examine_bpe() -> list[Line]:
    """The same for the encoder; its error is the number of ids that differ from the readable twin's."""
    import tokenizers

    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    library.train_from_iterator([TEXT], trainer)
    file = library.to_str().encode()
    expected = BpeEncoder(file, backend="reference").encode(TEXT).tolist()
    chosen = BpeEncoder(file).backend
    lines = []
    for backend in BPE_BACKENDS:
        why_not = bpe_extension()[1] if backend == "cpp" else ""
        error = None
        if not why_not:
            ids = BpeEncoder(file, backend=backend).encode(TEXT).tolist()
            error = float(sum(a != b for a, b in zip(ids, expected)) + abs(len(ids) - len(expected)))
        lines.append(Line("BpeEncoder", backend, not why_not, not why_not, backend == chosen, why_not, error))
    return lines


def examine_kinds() -> list[Kind]:
    """Which kinds of tokenizer.json the compiled encoder covers, and how many ids differ from the library's."""
    import tokenizers

    from .bpe.kinds import kinds

    found = []
    for kind, file in kinds().items():
        library = tokenizers.Tokenizer.from_buffer(file)
        encoder = BpeEncoder(file)
        ids, expected = encoder.encode(TEXT).tolist(), library.encode(TEXT, add_special_tokens=False).ids
        error = float(sum(a != b for a, b in zip(ids, expected)) + abs(len(ids) - len(expected)))
        found.append(Kind(kind, encoder.native, encoder.why_not, error))
    return found


def describe_tokenizer(path: Path) -> str:
    """A line on whether the compiled encoder runs a tokenizer of the user's. OSError or BpeFileError if it is none."""
    encoder = BpeEncoder(path / "tokenizer.json" if path.is_dir() else path)
    by = "native" if encoder.native else f"through the tokenizers library, the same ids but slower: {encoder.why_not}"
    return f"{path}: {encoder.vocab_size:,} ids, {by}"


def machine() -> dict[str, str]:
    facts = {"python": platform.python_version(), "torch": torch.__version__, "threads": str(torch.get_num_threads())}
    if backends.missing_ops() is None:
        names = {"portable": "portable", "avx2": "AVX2", "avx512": "AVX-512", "amx": "AVX-512 and AMX"}
        facts["cpu"] = names[backends.instruction_set()]
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return facts


def table(lines: list[Line]) -> Table:
    view = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("op", "backend", "built", "usable", "chosen"):
        view.add_column(name, no_wrap=True)
    view.add_column("error", justify="right", no_wrap=True)
    for before, line in zip([None, *lines], lines):
        marks = ("yes" if mark else "[dim]no[/]" for mark in (line.built, line.usable))
        name = "" if before and before.op == line.op else line.op
        chosen = "[green]here[/]" if line.chosen else ""
        error = "" if line.error is None else f"{line.error:.1e}"
        view.add_row(name, line.backend, *marks, chosen, f"[red]{error}[/]" if is_wrong(line) else error)
    return view


def kinds_table(kinds: list[Kind]) -> Table:
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column("kind of tokenizer.json", no_wrap=True)
    view.add_column("native", no_wrap=True)
    view.add_column("else through the library, for")
    for kind in kinds:
        mark = "[green]yes[/]" if kind.native else "[dim]no[/]"
        view.add_row(kind.kind, f"[red]{kind.error:g} ids wrong[/]" if kind.error else mark, escape(kind.why_not))
    return view


def is_wrong(line: Line) -> bool:
    return line.error is not None and not line.error <= TOLERANCE


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jarvis_nano.kernels", description=(__doc__ or "").partition(" — ")[0]
    )
    parser.add_argument("--json", action="store_true", help="one object for programs: machine, and a line a backend")
    parser.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="a tokenizer folder or tokenizer.json: is it native, else why not"
    )
    asked = parser.parse_args()
    if asked.tokenizer:
        try:
            print(describe_tokenizer(asked.tokenizer))
        except (OSError, BpeFileError) as error:
            print(f"error: {asked.tokenizer}: {error}", file=sys.stderr)
            sys.exit(2)
        return
    kinds = examine_kinds()
    lines = [line for op in backends.all_ops().values() for line in examine(op)] + examine_bpe()
    if asked.json:
        found = {
            "machine": machine(),
            "backends": [asdict(line) for line in lines],
            "tokenizers": [asdict(kind) for kind in kinds],
        }
        print(json.dumps(found, ensure_ascii=False))
    else:
        console = Console(highlight=False, soft_wrap=False)
        console.print(
            "  ".join(f"[dim]{name}[/] {fact}" for name, fact in machine().items()), "", table(lines), sep="\n"
        )
        for reason in dict.fromkeys(line.why_not for line in lines if line.why_not):
            who = ", ".join(f"{line.op} {line.backend}" for line in lines if line.why_not == reason)
            console.print("", f"[bold]{who}[/]", Padding(escape(reason), (0, 0, 0, 2)), sep="\n")
        console.print("", kinds_table(kinds), sep="\n")
    wrong = [f"{line.op} {line.backend}" for line in lines if is_wrong(line)]
    wrong += [f"BpeEncoder on {kind.kind}" for kind in kinds if kind.error]
    if wrong:
        sys.exit(
            f"error: {', '.join(wrong)}: further than {TOLERANCE:g} from the reference; build again: pip install -e ."
        )


if __name__ == "__main__":
    main()
