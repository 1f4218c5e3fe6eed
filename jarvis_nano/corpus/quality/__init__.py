"""Quality of one document: figures and thresholds, its language, sensitive patterns. Duplicates are not known here."""
