"""Vectors of words in context: the layers of a language model that reads in both directions."""
