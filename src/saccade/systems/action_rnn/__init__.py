"""A recurrent net that watches a clip and names its motion, once or for each frame."""
