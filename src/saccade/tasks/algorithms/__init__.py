"""Algorithms to learn from examples: copy, repeat copy, associative recall, dynamic n-grams, priority sort, graphs."""

from saccade.tasks.algorithms.algorithm import Algorithm, Batch
from saccade.tasks.algorithms.associative_recall import AssociativeRecall
from saccade.tasks.algorithms.copy import Copy
from saccade.tasks.algorithms.graph import Graph
from saccade.tasks.algorithms.n_grams import NGrams
from saccade.tasks.algorithms.priority_sort import PrioritySort
from saccade.tasks.algorithms.repeat_copy import RepeatCopy
from saccade.tasks.algorithms.task import AlgorithmsConfig, AlgorithmsTask, Example, Prediction

__all__ = [
    "Algorithm", "AlgorithmsConfig", "AlgorithmsTask", "AssociativeRecall", "Batch", "Copy", "Example", "Graph",
    "NGrams", "Prediction", "PrioritySort", "RepeatCopy",
]  # fmt: skip
