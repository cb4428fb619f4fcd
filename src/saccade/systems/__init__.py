"""One folder a system: model, recipe, README, evidence. The folder listing is the catalogue."""
