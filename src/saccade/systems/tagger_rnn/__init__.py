"""A recurrent net that reads a sentence in both directions and tags each word, with a chain over the tags."""
