"""Optimizers that train weights on a grid."""

from keras_compress.optimizers.error_compensating import ErrorCompensating

__all__ = ["ErrorCompensating"]
