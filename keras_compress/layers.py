"""Layers of compressed models."""

from keras_compress.dynamic import DynamicChannelGate
from keras_compress.quantization.wrapper import QuantizeAware

__all__ = ["DynamicChannelGate", "QuantizeAware"]
