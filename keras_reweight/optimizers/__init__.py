"""Optimizers that belong to a loss."""

from keras_reweight.optimizers.pesg import PESG

__all__ = ["PESG"]
