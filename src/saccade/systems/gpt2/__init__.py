"""GPT-2: a Transformer that reads a text and predicts each next symbol."""
