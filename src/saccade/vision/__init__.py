"""Looking at images: glimpses, windows, spatial transformers, gates, local attention."""
