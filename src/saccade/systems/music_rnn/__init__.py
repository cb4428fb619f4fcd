"""A recurrent net that reads chords, predicts each next one note by note, and composes."""
