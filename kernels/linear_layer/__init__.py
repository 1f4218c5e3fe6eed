"""Linear layers: op.py is the entrance, reference.py the maths. Named so that kernels.linear stays the function."""
