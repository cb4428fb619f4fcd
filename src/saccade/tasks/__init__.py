"""Data and metrics, one folder per task. A task knows no model."""
