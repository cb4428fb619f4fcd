"""The adapter to the training engine, checkpoints, run folders and evidence. It knows no model."""

from saccade.core.errors import require


def require_engine() -> None:
    """Raise MissingExtra, with the pip command that mends it, unless the training engine is installed."""
    require("lightning", "app")
    require("tensorboard", "app")
