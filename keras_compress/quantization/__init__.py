"""Quantization: quantization-aware layers, freezing and compact files."""

from keras_compress.quantization.fold_batch_norm import fold_batch_norm
from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_compress.quantization.freeze import freeze
from keras_compress.quantization.load_packed import load_packed
from keras_compress.quantization.quantization_summary import quantization_summary
from keras_compress.quantization.quantize_activation import QuantizeActivation
from keras_compress.quantization.quantize_aware import quantize_aware
from keras_compress.quantization.quantize_outputs import quantize_outputs
from keras_compress.quantization.quantized_form import quantized_form
from keras_compress.quantization.quantized_model import ActivationRange, QuantizedModel
from keras_compress.quantization.reparametrized_attention import ReparametrizedAttention
from keras_compress.quantization.save_packed import save_packed
from keras_compress.quantization.size import packed_size
from keras_compress.quantization.summary import QuantizationSummary
from keras_compress.quantization.wrapper import QuantizeAware

__all__ = [
    "ActivationRange",
    "FoldedBatchNorm",
    "QuantizationSummary",
    "QuantizeActivation",
    "QuantizeAware",
    "QuantizedModel",
    "ReparametrizedAttention",
    "fold_batch_norm",
    "freeze",
    "load_packed",
    "packed_size",
    "quantization_summary",
    "quantize_aware",
    "quantize_outputs",
    "quantized_form",
    "save_packed",
]
