"""The viewer: a run, or a capture that was kept, in a browser on this machine."""
