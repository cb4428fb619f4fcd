"""Deep recurrent attention model: digits in an image, read one after the other."""
