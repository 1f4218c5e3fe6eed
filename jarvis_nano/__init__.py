"""jarvis_nano: a French GPT built from nothing. Names are resolved on first use: importing this brings no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import kernels as kernels
    from .runs import load as load

__version__ = "0.1.0"
__all__ = ["kernels", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        return import_module(".runs", __name__).load
    if name == "kernels":
        return import_module(".kernels", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
