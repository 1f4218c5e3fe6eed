"""AdamW over all tensors at once, clipping and norms included: op.py is the entrance, reference.py the maths."""
