"""The C++ kernels' tests again with each instruction set that this processor has beside its best one."""

from __future__ import annotations

from pathlib import Path

import instruction_sets
import pytest

TESTS = {  # of test_<op>.py, by pytest's -k
    "activation": "cpp and (error or strides or ends) or whole_range",
    "adamw": "cpp and not compiled or size or threads or faded",
    "attention": "error and cpp and both",
    "cross_entropy": "cpp and (error or hit)",
    "layernorm": "cpp and (error or strides) or in_place or every_width or past_them",
    "rotary": "cpp and (error or strides)",
}


@pytest.mark.parametrize("instructions", instruction_sets.NAMES)
def test_every_kernel_obeys_the_same_rules(instructions):
    here = Path(__file__).parent
    instruction_sets.pass_with(instructions, {here / f"test_{op}.py": chosen for op, chosen in TESTS.items()})
