"""Data and metric, one folder each. A task knows no model."""
