"""Two-stack machines and their inputs."""
