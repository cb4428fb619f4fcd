"""DRAW: images drawn step by step, through a window that the network moves."""
