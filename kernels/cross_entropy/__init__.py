"""Output head and cross-entropy as one op: op.py is the entrance, reference.py the maths, chunks.py the kernel."""
