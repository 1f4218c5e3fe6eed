"""The tokenizer doctor: what a tokenizer loses, which setting of its file does it, and what to do."""

from .examination import Diagnosis, examine
from .finding import Finding, Level

__all__ = ["Diagnosis", "Finding", "Level", "examine"]
