"""Rotary positions: op.py is the entrance, reference.py the maths."""
