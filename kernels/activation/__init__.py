"""The MLP's activations with the bias before them: op.py is the entrance, reference.py the maths."""
