"""Pictures as matplotlib figures: make one, then `save` it. matplotlib is imported with the first picture."""

from saccade.explain.plots.arcs import arcs
from saccade.explain.plots.build_up import annotation_vectors, build_up
from saccade.explain.plots.canvas import Figure, Weights, save
from saccade.explain.plots.charts import curves, histogram, pen, score_by_length, training_curves
from saccade.explain.plots.coloured import coloured_characters, coloured_words
from saccade.explain.plots.graph import graph
from saccade.explain.plots.head_tables import head_tables
from saccade.explain.plots.heat_map import Panel, alignment, alignments, head_grid, matrix
from saccade.explain.plots.images import brightness, drawing, glimpses, over_image
from saccade.explain.plots.layers import layer_overview, positions
from saccade.explain.plots.overlays import overlays
from saccade.explain.plots.patches import patches
from saccade.explain.plots.series import Line, bars, lines
from saccade.explain.plots.steps import animate, attention_steps
from saccade.explain.plots.tokens import join, labels, words
from saccade.explain.plots.traces import memory_trace, speech, speeches

__all__ = [
    "Figure", "Line", "Panel", "Weights", "alignment", "alignments", "animate", "annotation_vectors", "arcs",
    "attention_steps", "bars", "brightness", "build_up", "coloured_characters", "coloured_words", "curves", "drawing",
    "glimpses", "graph", "head_grid", "head_tables", "histogram", "join", "labels", "layer_overview", "lines", "matrix",
    "memory_trace", "over_image", "overlays", "patches", "pen", "positions", "save", "score_by_length", "speech",
    "speeches", "training_curves", "words",
]  # fmt: skip
