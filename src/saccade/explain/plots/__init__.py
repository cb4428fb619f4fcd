"""Pictures as matplotlib figures: make one, then `save` it. matplotlib is imported at the first."""

from saccade.explain.plots.canvas import Figure, Weights, save
from saccade.explain.plots.charts import curves, histogram, pen, score_by_length, training_curves
from saccade.explain.plots.heat_map import Panel, alignment, alignments, head_grid, matrix
from saccade.explain.plots.tokens import join, labels, words

__all__ = [
    "Figure", "Panel", "Weights", "alignment", "alignments", "curves", "head_grid", "histogram", "join", "labels",
    "matrix", "pen", "save", "score_by_length", "training_curves", "words",
]  # fmt: skip
