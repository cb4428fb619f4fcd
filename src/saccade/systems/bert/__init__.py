"""BERT: a Transformer that reads a text from both sides and fills in what is masked."""
