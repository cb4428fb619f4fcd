"""A bidirectional language model of words that are read by their characters, whose layers are vectors of words in context."""
