"""Layers that losses and weightings need in the model."""

from keras_reweight.layers.csqmi_regularizer import CSQMIRegularizer
from keras_reweight.layers.logit_adjustment import LogitAdjustment
from keras_reweight.layers.normed_dense import NormedDense

__all__ = [
    "CSQMIRegularizer",
    "LogitAdjustment",
    "NormedDense",
]
