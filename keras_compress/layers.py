"""Layers of compressed models."""

from keras_compress.dynamic import DynamicChannelGate
from keras_compress.quantization.wrapper import QuantizeAware
from keras_compress.retraining.mask_lora import MaskLoRA

__all__ = [
    "DynamicChannelGate",
    "MaskLoRA",
    "QuantizeAware",
]
