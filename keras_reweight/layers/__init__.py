"""Layers that losses and weightings need in the model."""

from keras_reweight.layers.csqmi_regularizer import CSQMIRegularizer

__all__ = [
    "CSQMIRegularizer",
]
