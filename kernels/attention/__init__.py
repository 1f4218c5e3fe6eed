"""Causal attention: op.py is the entrance, reference.py the maths, csrc/attention* the CPU kernel."""
