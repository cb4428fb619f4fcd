"""The base of everything else: masks, taps, states, configuration, recipes, errors. It imports no other room."""
