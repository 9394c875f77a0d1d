"""Layers of compressed models."""

from keras_compress.quantization.wrapper import QuantizeAware

__all__ = ["QuantizeAware"]
