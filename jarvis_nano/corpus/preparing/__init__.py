"""Preparing a corpus: inputs cut into units (units.py), each read, cleaned and judged apart (cleaning.py, parts.py),
then duplicates among all of them (finishing.py), a report (report.py) and the folder (pipeline.py).

A unit's part depends on its bytes and the settings alone. That is what makes the result the same for any number of
processes and after any number of kills.
"""
