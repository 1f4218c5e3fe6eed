"""The op of docs/add-an-op.md, run as it stands there: reference, registration, gradient, and a C++ kernel's place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from jarvis_nano.errors import UserError
from jarvis_nano.kernels import backends

PAGE = Path(__file__).resolve().parents[2] / "docs/add-an-op.md"


@pytest.fixture(scope="module")
def op() -> dict:
    """The names that the page's Python defines, run from top to bottom."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    # What <op>_bindings.cpp does for a real op.
    backends.LIBRARY.impl("scaled_relu", lambda x, factor: torch.relu(x) * factor, "CPU")
    backward = lambda dy, x, factor: torch.where(x > 0, dy * factor, 0.0)  # noqa: E731
    backends.LIBRARY.impl("scaled_relu_backward", backward, "CPU")
    yield names
    backends._registered.pop("scaled_relu")


def test_the_page_s_op_is_right(op):
    relu = op["scaled_relu"]
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: relu(x, factor=3.0, backend="reference"), x)
    x = torch.randn(4, 5, requires_grad=True)
    for backend in ("reference", "cpp"):
        y = relu(x, factor=2.0, backend=backend)
        torch.testing.assert_close(y, 2 * torch.relu(x))
        torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], 2.0 * (x > 0))


def test_the_page_s_op_passes_opcheck_and_compiles(op):
    torch.library.opcheck(torch.ops.jarvis_nano.scaled_relu.default, (torch.randn(3, 4), 2.0))
    torch.library.opcheck(
        torch.ops.jarvis_nano.scaled_relu_backward.default, (torch.ones(3, 4), torch.randn(3, 4), 2.0)
    )
    x = torch.randn(3, requires_grad=True)
    compiled = torch.compile(lambda x: op["scaled_relu"](x, factor=2.0), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), 2 * torch.relu(x))


def test_a_backend_that_cannot_run_says_so(op):
    with pytest.raises(UserError, match="cpp takes float32, not float64"):
        op["scaled_relu"](torch.zeros(2, dtype=torch.float64), backend="cpp")


def test_every_file_and_function_that_the_page_names_is_there():
    root = PAGE.parents[1]
    bindings = "".join(path.read_text(encoding="utf-8") for path in (root / "csrc").glob("*bindings.*"))
    for name in ("dense(", "allocate_like(", "pointer<", "STD_TORCH_CHECK", "TORCH_BOX"):
        assert name in PAGE.read_text(encoding="utf-8")
        assert name in bindings
    for file in ("csrc/layernorm_rows.inc", "csrc/cpu.h", "kernels/__main__.py", "tests/kernels/test_add_an_op.py"):
        assert (root / file).exists()
