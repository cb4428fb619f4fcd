"""RoBERTa: BERT with masks drawn anew in each pass, longer texts and no pairs."""
