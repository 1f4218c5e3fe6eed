"""How a case of each op is made: its inputs, our call, and the same by torch. Which cases there are: gpu_cases.py."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from gpu_case import DEVICE, DTYPES, Case, Tensors
from torch import Tensor

from jarvis_nano import kernels

randn = partial(torch.randn, device=DEVICE)


def norm(kind: str, shape: tuple[int, ...], *, residual=False, sliced=False, size="large", dtypes=DTYPES) -> Case:
    """kind: layer, layer without bias, rms. sliced: some of the heads of a packed projection, as QK-norm has them."""

    def draw(generator, dtype) -> Tensors:
        whole = (*shape[:-2], shape[-2] + 2, shape[-1]) if sliced else shape
        x = (randn(whole, generator=generator) * 2 + 1).to(dtype)
        t = {"x": x[..., 1:-1, :] if sliced else x, "dy": randn(shape, generator=generator).to(dtype)}
        t["weight"] = (1 + 0.3 * randn(shape[-1:], generator=generator)).to(dtype).float()
        if kind == "layer":
            t["bias"] = randn(shape[-1:], generator=generator).to(dtype).float()
        if residual:
            t |= {name: randn(shape, generator=generator).to(dtype) for name in ("residual", "dtotal")}
        return t

    def named(found) -> Tensors:
        return dict(zip(("y", "total"), found)) if residual else {"y": found}

    def run(t: Tensors, backend: str) -> Tensors:
        given = {"residual": t.get("residual"), "backend": backend}
        if kind == "rms":
            return named(kernels.rms_norm(t["x"], t["weight"], **given))
        return named(kernels.layer_norm(t["x"], t["weight"], t.get("bias"), **given))

    def of_torch(t: Tensors) -> Tensors:
        total = t["x"] + t["residual"] if residual else t["x"]
        width, weight = total.shape[-1:], t["weight"].to(total.dtype)
        if kind == "rms":
            y = F.rms_norm(total, width, weight, 1e-5)
        else:
            y = F.layer_norm(total, width, weight, t["bias"].to(total.dtype) if "bias" in t else None)
        return named((y, total) if residual else y)

    wrt = ("x", "weight", *["residual"] * residual, *["bias"] * (kind == "layer"))
    name = f"{kind.replace(' ', '_')}-{'x'.join(map(str, shape))}{'-residual' * residual}{'-sliced' * sliced}"
    return Case("layer_norm", name, draw, run, of_torch, wrt, size, shape[-1], dtypes)


def seen(T: int, S: int, window: int | None, document: Tensor | None) -> Tensor:
    """Which pairs see each other, (B or 1, 1, T, S): two positions share a document when no id changes between."""
    query, key = torch.arange(S - T, S, device=DEVICE)[:, None], torch.arange(S, device=DEVICE)
    mask = ((key <= query) & (query - key < (window or S + 1)))[None, None]
    if document is None:
        return mask
    changes = F.pad(document.diff(dim=1).ne(0).cumsum(1), (1, 0))
    return mask & (changes[:, S - T :, None] == changes[:, None, :])[:, None]


def attention(B, H, Hkv, T, S, D, kind="all", *, size="large", dtypes=DTYPES) -> Case:
    """kind: all, window, document, both. With T = S the heads of one packed projection, read in place."""
    window = max(1, S // 3) if kind in ("window", "both") else None

    def draw(generator, dtype) -> Tensors:
        if T == S:
            packed = randn((B, T, H + 2 * Hkv, D), generator=generator).to(dtype)
            q, k, v = (t.transpose(1, 2) for t in packed.split((H, Hkv, Hkv), 2))
        else:
            q, k, v = (randn(s, generator=generator).to(dtype) for s in ((B, H, T, D), *[(B, Hkv, S, D)] * 2))
        t = {"q": q, "k": k, "v": v, "dout": randn((B, H, T, D), generator=generator).to(dtype)}
        if kind in ("document", "both"):  # runs of 1 to about 100, an id may come again
            steps = torch.rand((B, S), device=DEVICE, generator=generator) < 0.03
            t["document"] = steps.cumsum(1) % 3
        return t

    def run(t: Tensors, backend: str) -> Tensors:
        given = {"window": window, "document": t.get("document"), "backend": backend}
        return {"out": kernels.causal_attention(t["q"], t["k"], t["v"], **given)}

    def of_torch(t: Tensors) -> Tensors:
        # Not scaled_dot_product_attention: where it takes float32 inside, it keeps digits that no kernel can which
        # starts from a rounded output in its backward, and what it takes depends on the shape.
        k, v = (t[name].repeat_interleave(H // Hkv, 1) for name in ("k", "v"))
        scores = (t["q"] @ k.transpose(-1, -2)) / math.sqrt(D)
        mask = seen(T, S, window, t.get("document"))
        return {"out": scores.masked_fill(~mask, -math.inf).softmax(-1) @ v}

    name = f"{B}x{H}x{Hkv}-{T}of{S}x{D}-{kind}"
    return Case("causal_attention", name, draw, run, of_torch, ("q", "k", "v"), size, D, dtypes)


def cross_entropy(N, C, V, *, ignored=0.0, z_loss=0.0, uneven=False, size="large", dtypes=DTYPES) -> Case:
    """uneven: a loss gradient of its own for each token; else one for all, of stride 0, as a sum sends it."""

    def draw(generator, dtype) -> Tensors:
        x, weight = randn((N, C), generator=generator), randn((V, C), generator=generator) * (1.5 / math.sqrt(C))
        target = torch.randint(0, V, (N,), device=DEVICE, generator=generator)
        target[torch.rand(N, device=DEVICE, generator=generator) < ignored] = -100
        one = torch.ones((), device=DEVICE).expand(N)
        dloss = torch.linspace(-1, 2, N, device=DEVICE) if uneven else one
        return {"x": x.to(dtype), "weight": weight.to(dtype), "target": target, "dloss": dloss}

    def run(t: Tensors, backend: str) -> Tensors:
        found = kernels.linear_cross_entropy(t["x"], t["weight"], t["target"], z_loss=z_loss, backend=backend)
        return {name: value for name, value in found._asdict().items() if name != "hit"}  # at a tie a matter of luck

    def of_torch(t: Tensors) -> Tensors:
        logits = F.linear(t["x"], t["weight"])
        counted = t["target"] != -100
        log_z = logits.logsumexp(-1) * counted
        loss = F.cross_entropy(logits, t["target"], reduction="none") + z_loss * log_z.square()
        entropy = torch.special.entr(logits.log_softmax(-1).exp()).sum(-1) * counted
        return {"loss": loss, "log_z": log_z, "entropy": entropy}

    name = f"{N}x{C}x{V}{'-ignored' * bool(ignored)}{'-z_loss' * bool(z_loss)}{'-uneven' * uneven}"
    return Case("linear_cross_entropy", name, draw, run, of_torch, ("x", "weight"), size, C, dtypes)


def rotary(B, T, H, D, positions="none", *, size="large", dtypes=DTYPES) -> Case:
    """A slice of the heads of a packed projection. positions: none, shared by the rows, each row's own."""

    def draw(generator, dtype) -> Tensors:
        angle = torch.arange(T + 5)[:, None] * 10000.0 ** -(torch.arange(D // 2) / (D // 2))
        x, dy = (randn((B, T, H + n, D), generator=generator).to(dtype) for n in (2, 0))
        t = {"x": x[:, :, 1:-1], "dy": dy, "cos": angle.cos().to(DEVICE), "sin": angle.sin().to(DEVICE)}
        if positions != "none":
            rows = (T,) if positions == "shared" else (B, T)
            t["positions"] = torch.randint(0, T + 5, rows, device=DEVICE, generator=generator)
        return t

    def run(t: Tensors, backend: str) -> Tensors:
        return {"y": kernels.apply_rotary(t["x"], t["cos"], t["sin"], t.get("positions"), backend=backend)}

    def of_torch(t: Tensors) -> Tensors:
        at = t.get("positions", torch.arange(T, device=DEVICE))
        c, s = t["cos"][at].unsqueeze(-2), t["sin"][at].unsqueeze(-2)
        first, second = t["x"].to(c.dtype).chunk(2, dim=-1)
        return {"y": torch.cat((first * c - second * s, second * c + first * s), dim=-1).to(t["x"].dtype)}

    return Case("rotary", f"{B}x{T}x{H}x{D}-{positions}", draw, run, of_torch, ("x",), size, D, dtypes)


def activation(kind: str, rows: int, width: int, *, bias=True, size="large", dtypes=DTYPES) -> Case:
    wide = 2 * width if kind == "swiglu" else width

    def draw(generator, dtype) -> Tensors:
        x, b, dy = (randn(shape, generator=generator) for shape in ((rows, wide), (wide,), (rows, width)))
        return {"x": (2 * x).to(dtype), "dy": dy.to(dtype)} | ({"bias": b.to(dtype).float()} if bias else {})

    def run(t: Tensors, backend: str) -> Tensors:
        return {"y": getattr(kernels, kind)(t["x"], t.get("bias"), backend=backend)}

    def of_torch(t: Tensors) -> Tensors:
        h = t["x"] + t["bias"].to(t["x"].dtype) if bias else t["x"]
        if kind == "gelu":
            return {"y": F.gelu(h)}
        if kind == "relu_squared":
            return {"y": F.relu(h).square()}
        gate, value = h.chunk(2, dim=-1)
        return {"y": F.silu(gate) * value}

    wrt = ("x", "bias") if bias else ("x",)
    return Case("activation", f"{kind}-{rows}x{wide}{'-bias' * bias}", draw, run, of_torch, wrt, size, wide, dtypes)


def adamw(shapes: list[tuple[int, ...]], *, rates_on_device: bool, size="large") -> Case:
    """The third step of some weights, clipped. The op changes them in place: what `run` changes are copies, always at
    the same addresses, as a captured graph needs. The case's dtype is the gradients'."""
    n = len(shapes)
    decays = [0.1 * (i % 3) for i in range(n)]
    kept = ("p", "m", "v")

    def draw(generator, dtype) -> Tensors:
        t: Tensors = {"lr": torch.tensor(1e-2, device=DEVICE), "step": torch.tensor(3, device=DEVICE)}
        for i, shape in enumerate(shapes):
            p, g, m, v = (randn(shape, generator=generator) for _ in range(4))
            t |= {f"p{i}": p, f"g{i}": g.to(dtype), f"m{i}": 0.1 * m, f"v{i}": 0.1 * v.square()}
            t |= {f"own {name}{i}": torch.empty_like(p) for name in kept}
        return t

    def run(t: Tensors, backend: str) -> Tensors:
        own = {name: [t[f"own {name}{i}"] for i in range(n)] for name in kept}
        for name, tensors in own.items():
            for i, tensor in enumerate(tensors):
                tensor.copy_(t[f"{name}{i}"])
        rates = {"lr": t["lr"], "step": t["step"]} if rates_on_device else {"lr": 1e-2, "step": 3}
        grads = [t[f"g{i}"] for i in range(n)]
        norms = kernels.adamw_step(
            own["p"], grads, own["m"], own["v"], betas=(0.9, 0.95), weight_decay=decays, max_norm=1.0, backend=backend,
            **rates,
        )  # fmt: skip
        found = {f"{name}{i}": tensor.clone() for name, tensors in own.items() for i, tensor in enumerate(tensors)}
        return {**found, "norm": norms.total_gradient}

    def of_torch(t: Tensors) -> Tensors:
        leaves = [t[f"p{i}"].clone().requires_grad_() for i in range(n)]
        groups = [{"params": [leaf], "weight_decay": decay} for leaf, decay in zip(leaves, decays)]
        optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, foreach=True)
        for i, leaf in enumerate(leaves):
            leaf.grad = t[f"g{i}"].to(leaf.dtype, copy=True)
            moments = {"exp_avg": t[f"m{i}"].clone(), "exp_avg_sq": t[f"v{i}"].clone()}
            optimizer.state[leaf] = {"step": torch.tensor(2.0), **moments}
        norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        optimizer.step()
        found: Tensors = {"norm": norm}
        for i, leaf in enumerate(leaves):
            state = optimizer.state[leaf]
            found |= {f"p{i}": leaf.detach(), f"m{i}": state["exp_avg"], f"v{i}": state["exp_avg_sq"]}
        return found

    name = f"{n}_tensors-{'device' if rates_on_device else 'numbers'}-{sum(map(math.prod, shapes))}"
    return Case("adamw_step", name, draw, run, of_torch, (), size, dtypes=DTYPES, atol=1e-6)
