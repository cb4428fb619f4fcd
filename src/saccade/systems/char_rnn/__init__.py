"""A recurrent net that reads a text symbol by symbol, predicts each next one, and writes on."""
