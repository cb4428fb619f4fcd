"""Neural Turing machines that learn algorithms (Graves et al. 2014)."""
