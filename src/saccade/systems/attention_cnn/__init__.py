"""A convolutional net whose last layer attends to its own places (VanRullen's class on attention)."""
