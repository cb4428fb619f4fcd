"""A trained system as a value: `saccade.load`, the catalogue, flags, training from end to end, scores, results."""
