"""A recurrent net that reads a sentence in both directions and names its class, by attention or without."""
