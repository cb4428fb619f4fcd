"""RNNsearch (Bahdanau, Cho & Bengio 2015)."""
