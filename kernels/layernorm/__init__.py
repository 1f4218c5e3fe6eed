"""LayerNorm and RMSNorm, with the residual addition: op.py is the entrance, reference.py the maths."""
