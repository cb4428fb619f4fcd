"""Hard online attention on speech."""
