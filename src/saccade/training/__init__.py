"""The loop over a stream, sharding, checkpoints, run folders and evidence. It knows no model and no task."""
