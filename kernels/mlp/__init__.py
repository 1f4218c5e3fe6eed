"""A Transformer's MLP in one piece: op.py, of other ops' kernels."""
