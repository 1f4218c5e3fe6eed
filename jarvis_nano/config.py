"""What a model is and how it is trained: frozen dataclasses and the presets that a learner starts from.

Every field of these classes is a flag of scripts/pretrain.py; the text under a field is its help.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from jarvis_nano.errors import UserError

Norm = Literal["layernorm", "rmsnorm"]
Positions = Literal["learned", "rotary"]
Mlp = Literal["gelu", "swiglu", "relu2"]
Schedule = Literal["cosine", "wsd"]
Optimizer = Literal["adamw", "muon"]
Compile = Literal["auto", "on", "off"]


def _require_at_least(config: Any, lowest: int, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= lowest:  # "not >=" refuses nan too
            raise UserError(f"{name} is {getattr(config, name)}; it must be at least {lowest}")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a Transformer and the switches that a learner flips."""

    vocab_size: int = 4096
    """Number of token ids; with --tokenizer it is the tokenizer's."""
    context: int = 256
    """Longest text the model sees at once, in tokens."""
    n_layers: int = 4
    """Number of blocks (attention, then MLP)."""
    n_heads: int = 4
    """Number of query heads; d_model is divided among them."""
    n_kv_heads: int = 0
    """Key and value heads, shared by groups of query heads (GQA, Ainslie et al. 2023); 0: as many as n_heads."""
    d_model: int = 256
    """Width of the residual stream."""
    d_ff: int = 0
    """Width of the MLP; 0: 4 × d_model (SwiGLU: 8/3, so that it has as many weights)."""
    norm: Norm = "layernorm"
    """layernorm (Ba et al. 2016) centres and scales; rmsnorm (Zhang & Sennrich 2019) only scales."""
    positions: Positions = "learned"
    """learned: a vector for each position (GPT-2); rotary: q and k turn with it (RoPE, Su et al. 2021)."""
    mlp: Mlp = "gelu"
    """gelu (GPT-2); swiglu: gated (Shazeer 2020, Llama); relu2: ReLU squared (Primer, So et al. 2021)."""
    qk_norm: bool = False
    """Normalise q and k in each head: keeps attention logits small at high rates (Dehghani et al. 2023)."""
    tie_embeddings: bool = True
    """One matrix for reading and for writing tokens (Press & Wolf 2017)."""
    bias: bool = False
    """Biases in the linear layers and in LayerNorm, as GPT-2 has them; newer models leave them out."""
    dropout: float = 0.0
    """Share of activations zeroed in training (Srivastava et al. 2014); helps when text is seen many times."""
    rope_theta: float = 10000.0
    """Base of the rotary wavelengths."""
    norm_eps: float = 1e-5
    """Added to the variance before the square root."""

    def __post_init__(self) -> None:
        _require_at_least(self, 1, "vocab_size", "context", "n_layers", "n_heads", "d_model", "rope_theta")
        _require_at_least(self, 0, "n_kv_heads", "d_ff", "norm_eps")
        if self.d_model % self.n_heads:
            raise UserError(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")
        if self.n_heads % self.kv_heads:
            raise UserError(f"n_heads {self.n_heads} is not a multiple of n_kv_heads {self.kv_heads}")
        if self.positions == "rotary" and self.d_head % 2:
            raise UserError(f"rotary positions need an even head width, found {self.d_head} (d_model / n_heads)")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"dropout is {self.dropout}; it must be in [0, 1)")

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def kv_heads(self) -> int:
        return self.n_kv_heads or self.n_heads

    @property
    def hidden_width(self) -> int:
        if self.d_ff:
            return self.d_ff
        return 4 * self.d_model if self.mlp != "swiglu" else -(-8 * self.d_model // 3 // 16) * 16

    @property
    def n_matmul_parameters(self) -> int:
        """Weights that every token is multiplied with, the output head included."""
        attention = self.d_model * self.d_head * (2 * self.n_heads + 2 * self.kv_heads)
        mlp = self.d_model * self.hidden_width * (3 if self.mlp == "swiglu" else 2)
        return self.n_layers * (attention + mlp) + self.vocab_size * self.d_model

    @property
    def flops_per_token(self) -> int:
        """Forward and backward, 6 per weight, plus causal attention (PaLM, Chowdhery et al. 2022, appendix B)."""
        return 6 * self.n_matmul_parameters + 6 * self.n_layers * self.context * self.d_model


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    steps: int = 2000
    """Optimizer steps."""
    batch_size: int = 16
    """Rows of `context` tokens in one optimizer step, over all processes."""
    micro_batch_size: int = 0
    """Rows in one forward pass of one process; the gradient accumulates over them. 0: all of a process's rows."""
    optimizer: Optimizer = "adamw"
    """adamw (Loshchilov & Hutter 2019); muon: orthogonalised momentum for the matrices (Jordan 2024), AdamW beside."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW."""
    muon_learning_rate: float = 0.02
    """Peak rate of Muon, for the matrices of the blocks (only with --optimizer muon)."""
    schedule: Schedule = "cosine"
    """cosine: down to final_lr along half a cosine; wsd: warm-up, stable, then linear decay (Hu et al. 2024)."""
    warmup: float = 0.02
    """Share of the steps during which the rate rises from 0."""
    decay: float = 0.3
    """Share of the steps of the final decay (wsd)."""
    final_lr: float = 0.05
    """The rate at the end, as a share of the peak."""
    weight_decay: float = 0.1
    """Pull of the matrices towards zero."""
    beta1: float = 0.9
    """AdamW's memory of the gradient."""
    beta2: float = 0.95
    """AdamW's memory of its square."""
    max_grad_norm: float = 1.0
    """Gradients longer than this are scaled down (Pascanu et al. 2013); 0: never."""
    z_loss: float = 0.0
    """Weight of log² Z, which keeps logits from drifting (PaLM)."""
    compile: Compile = "auto"
    """Compile the model's forward and backward (torch.compile, a minute at the start); auto: on a GPU."""
    seed: int = 0
    """Seed of the weights, the batches and dropout."""
    log_every: int = 10
    """Steps between two lines of metrics."""
    eval_every: int = 200
    """Steps between two validations."""
    eval_batches: int = 20
    """Batches of a validation during training; the last one takes all held-out text."""
    save_every: int = 500
    """Steps between two checkpoints."""
    keep: int = 2
    """Checkpoints kept besides the best."""
    sample_every: int = 200
    """Steps between two text samples."""
    probe_every: int = 50
    """Steps between two looks inside the model: activations, attention, logit lens (with --observe on)."""
    sample_prompts: tuple[str, ...] = ("", "Il était une fois")
    """Beginnings that the samples continue; an empty one starts a new document."""

    def __post_init__(self) -> None:
        every = ("log_every", "eval_every", "save_every", "sample_every", "probe_every")
        _require_at_least(self, 1, "steps", "batch_size", "eval_batches", "keep", *every)
        _require_at_least(self, 0, "seed", "weight_decay", "max_grad_norm", "z_loss")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise UserError(f"beta1 and beta2 are {self.beta1} and {self.beta2}; they must be in [0, 1)")
        if self.micro_batch_size < 0 or self.micro_batch_size > self.batch_size:
            raise UserError(
                f"micro_batch_size {self.micro_batch_size} is not between 0 and batch_size {self.batch_size}"
            )
        if self.compile not in get_args(Compile):
            raise UserError(f"compile is {self.compile!r}; expected {', '.join(get_args(Compile))}")
        if self.learning_rate <= 0 or self.muon_learning_rate <= 0:
            raise UserError("learning rates must be above 0")
        if not (0 <= self.warmup <= 1 and 0 <= self.decay <= 1 and 0 <= self.final_lr <= 1):
            raise UserError("warmup, decay and final_lr are shares between 0 and 1")


@dataclass(frozen=True)
class Preset:
    """A model and a training that fit each other."""

    model: ModelConfig
    train: TrainConfig


PRESETS: dict[str, Preset] = {
    "nano": Preset(
        ModelConfig(
            vocab_size=2048,
            context=256,
            n_layers=4,
            n_heads=3,
            d_model=192,
            norm="rmsnorm",
            positions="rotary",
            mlp="relu2",
            qk_norm=True,
        ),
        TrainConfig(
            steps=800,
            batch_size=8,
            optimizer="muon",
            learning_rate=5e-3,
            muon_learning_rate=0.03,
            schedule="wsd",
            decay=0.6,
            final_lr=0.02,
        ),
    ),
    "mini": Preset(
        ModelConfig(vocab_size=8192, context=256, n_layers=6, n_heads=6, d_model=384, bias=True, tie_embeddings=False),
        TrainConfig(steps=20000, batch_size=32, learning_rate=6e-4, schedule="cosine"),
    ),
    "small": Preset(
        ModelConfig(vocab_size=50304, context=1024, n_layers=12, n_heads=12, d_model=768, bias=True),
        TrainConfig(steps=20000, batch_size=512, micro_batch_size=64, learning_rate=6e-4, schedule="cosine"),
    ),
    "medium": Preset(
        ModelConfig(vocab_size=50304, context=1024, n_layers=24, n_heads=16, d_model=1024, bias=True),
        TrainConfig(steps=40000, batch_size=512, micro_batch_size=16, learning_rate=3e-4, schedule="cosine"),
    ),
}


def to_json(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON values."""
    return dataclasses.asdict(config)


def from_json(kind: type, values: dict[str, Any], source: Path | str) -> Any:
    """The dataclass `kind` from JSON values; UserError on unknown or missing names, with `source` in the message."""
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(
            f"{source} has unknown settings {', '.join(unknown)}; this version knows {', '.join(sorted(known))}"
        )
    hints = get_type_hints(kind)
    fixed = {name: tuple(value) if "tuple" in str(hints[name]) else value for name, value in values.items()}
    return kind(**fixed)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; UserError where it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; is {path.parent} the folder you meant?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it or start a new run") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds {type(values).__name__}, expected a JSON object")
    return values
