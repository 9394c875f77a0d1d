"""Weights of samples and tokens as functions of a batch."""

from keras_reweight.weightings.extremes import Extremes
from keras_reweight.weightings.lin_upper import LinUpper
from keras_reweight.weightings.quadratic import Quadratic
from keras_reweight.weightings.weighting import Weighting

__all__ = [
    "Extremes",
    "LinUpper",
    "Quadratic",
    "Weighting",
]
