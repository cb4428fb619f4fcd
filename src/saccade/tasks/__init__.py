"""Data and metrics, one folder a task. A task knows no model."""
