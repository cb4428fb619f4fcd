"""A hierarchical encoder-decoder that reads a dialogue turn by turn and writes the next turn."""
