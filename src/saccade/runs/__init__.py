"""Trained systems as values: `saccade.load`, the catalogue, flags, complete trainings, scores, results."""
