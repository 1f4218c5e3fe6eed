"""Near duplicates over a corpus of any size: signatures.py, one document; candidates.py, pairs; clusters.py, verified.

MinHash with bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
"""
