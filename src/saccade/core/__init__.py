"""The floor: masks, taps, states, configuration, recipes, errors. Everything stands on it; it stands on torch."""
