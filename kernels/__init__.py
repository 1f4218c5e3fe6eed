"""Our own kernels, imported as jarvis_nano.kernels. Names are resolved on first use; torch comes with the first op."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activation.op import gelu as gelu
    from .activation.op import relu_squared as relu_squared
    from .activation.op import swiglu as swiglu
    from .adamw.op import adamw_step as adamw_step
    from .attention.op import causal_attention as causal_attention
    from .attention.op import causal_attention_packed as causal_attention_packed
    from .backends import available as available
    from .backends import use_backend as use_backend
    from .bpe.op import BpeEncoder as BpeEncoder
    from .bpe.trainer import BpeTrainer as BpeTrainer
    from .cross_entropy.op import linear_cross_entropy as linear_cross_entropy
    from .layernorm.op import layer_norm as layer_norm
    from .layernorm.op import rms_norm as rms_norm
    from .linear_layer.op import linear as linear
    from .mlp.op import mlp as mlp
    from .rotary.op import apply_rotary as apply_rotary

_HOME = {
    "adamw_step": ".adamw.op",
    "causal_attention": ".attention.op",
    "causal_attention_packed": ".attention.op",
    "layer_norm": ".layernorm.op",
    "rms_norm": ".layernorm.op",
    "linear": ".linear_layer.op",
    "linear_cross_entropy": ".cross_entropy.op",
    "apply_rotary": ".rotary.op",
    "gelu": ".activation.op",
    "swiglu": ".activation.op",
    "relu_squared": ".activation.op",
    "mlp": ".mlp.op",
    "BpeEncoder": ".bpe.op",
    "BpeTrainer": ".bpe.trainer",
    "use_backend": ".backends",
    "available": ".backends",
}
__all__ = [
    "BpeEncoder",
    "BpeTrainer",
    "adamw_step",
    "apply_rotary",
    "available",
    "causal_attention",
    "causal_attention_packed",
    "gelu",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "mlp",
    "relu_squared",
    "rms_norm",
    "swiglu",
    "use_backend",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value  # the next look-up is a plain one
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
