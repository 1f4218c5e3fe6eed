"""A feature grammar of the French that the stories are written in: what checker.py reads sentences with."""
