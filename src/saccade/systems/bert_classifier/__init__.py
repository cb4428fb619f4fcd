"""BERT, fine-tuned to name the class of a sentence."""
