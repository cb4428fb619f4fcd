"""The command line and the web viewer. They combine the other packages and contain no mathematics."""
