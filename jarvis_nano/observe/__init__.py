"""Watching a model learn: metrics on disk, TensorBoard beside the run, the live progress bar. Floor of chat."""
