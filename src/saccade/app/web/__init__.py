"""The viewer of runs and saved captures, in a browser on this machine."""
