"""One folder per system: model, recipe, README, evidence. The listing of the folders is the catalogue."""
