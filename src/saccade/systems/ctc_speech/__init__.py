"""CTC on speech."""
