"""Sparse from the first step to the last, with connections that change."""

from keras_compress.sparse_training.evolution import Evolution
from keras_compress.sparse_training.input_strength import input_strength
from keras_compress.sparse_training.quick_selection import quick_selection
from keras_compress.sparse_training.rigl import RigL
from keras_compress.sparse_training.set import SET
from keras_compress.sparse_training.sparse_training import SparseTraining

__all__ = [
    "Evolution",
    "RigL",
    "SET",
    "SparseTraining",
    "input_strength",
    "quick_selection",
]
