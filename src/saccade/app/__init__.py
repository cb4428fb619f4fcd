"""The door: the command line. It composes the other rooms and holds no mathematics."""
