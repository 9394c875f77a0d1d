"""Quantizers: grids for weights and activations."""

from keras_compress.quantization.lsq import LSQQuantizer
from keras_compress.quantization.quantizer import Quantizer
from keras_compress.quantization.stats import StatsQuantizer

__all__ = ["LSQQuantizer", "Quantizer", "StatsQuantizer"]
