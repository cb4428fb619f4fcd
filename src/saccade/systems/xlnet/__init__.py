"""A Transformer that learns to predict the symbols of a text in every order, and writes on."""
