"""Training: the loop and what it needs (optimizer, schedule, checkpoints, processes, data), pretraining and tuning."""
