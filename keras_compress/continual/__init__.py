"""Continual learning with binary weights."""

from keras_compress.continual.binarize import binarize
from keras_compress.continual.binary_variational_conv2d import BinaryVariationalConv2D
from keras_compress.continual.binary_variational_dense import BinaryVariationalDense
from keras_compress.continual.consolidate import consolidate

__all__ = ["BinaryVariationalConv2D", "BinaryVariationalDense", "binarize", "consolidate"]
