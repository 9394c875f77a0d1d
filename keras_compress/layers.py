"""Layers of compressed models."""

from keras_compress.dynamic import DynamicChannelGate
from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_compress.quantization.quantize_activation import QuantizeActivation
from keras_compress.quantization.reparametrized_attention import ReparametrizedAttention
from keras_compress.quantization.wrapper import QuantizeAware
from keras_compress.retraining.mask_lora import MaskLoRA

__all__ = [
    "DynamicChannelGate",
    "FoldedBatchNorm",
    "MaskLoRA",
    "QuantizeActivation",
    "QuantizeAware",
    "ReparametrizedAttention",
]
