"""How good a model is: bits per byte on held-out text, grammar of what it writes, right answers."""
