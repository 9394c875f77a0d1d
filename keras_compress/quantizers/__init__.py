"""Quantizers: grids for weights and activations."""

from keras_compress.quantizers.binary import BinaryQuantizer
from keras_compress.quantizers.boolean import BooleanQuantizer
from keras_compress.quantizers.codebook import CodebookQuantizer
from keras_compress.quantizers.float_quantizer import FloatQuantizer
from keras_compress.quantizers.lsq import LSQQuantizer
from keras_compress.quantizers.lsq_plus import LSQPlusQuantizer
from keras_compress.quantizers.min_max import MinMaxQuantizer
from keras_compress.quantizers.moving_average import MovingAverageQuantizer
from keras_compress.quantizers.mse import MSEQuantizer
from keras_compress.quantizers.percentile import PercentileQuantizer
from keras_compress.quantizers.power import PowerQuantizer
from keras_compress.quantizers.quantizer import Quantizer
from keras_compress.quantizers.stats import StatsQuantizer
from keras_compress.quantizers.ternary import TernaryQuantizer

__all__ = [
    "BinaryQuantizer",
    "BooleanQuantizer",
    "CodebookQuantizer",
    "FloatQuantizer",
    "LSQPlusQuantizer",
    "LSQQuantizer",
    "MSEQuantizer",
    "MinMaxQuantizer",
    "MovingAverageQuantizer",
    "PercentileQuantizer",
    "PowerQuantizer",
    "Quantizer",
    "StatsQuantizer",
    "TernaryQuantizer",
]
