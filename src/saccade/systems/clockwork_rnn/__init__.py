"""A clockwork RNN that generates a signal of several time scales."""
