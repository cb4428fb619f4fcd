"""The adapter to the training engine, checkpoints, run folders and evidence. It knows no model."""
