"""Rounding to a grid with the gradients that training needs, in few passes over the values."""

from keras_reweight.core.rounding.backend import rounding

__all__ = ["rounding"]
