"""Quantization-aware training: what happens to quantized weights and scales from step to step."""

from keras_compress.qat.bit_width_schedule import BitWidthSchedule
from keras_compress.qat.confidence_guided_annealing import ConfidenceGuidedAnnealing
from keras_compress.qat.freeze_batch_norm import FreezeBatchNorm
from keras_compress.qat.gradient_disorder import gradient_disorder
from keras_compress.qat.oscillation_dampening import OscillationDampening
from keras_compress.qat.oscillation_freezing import OscillationFreezing
from keras_compress.qat.oscillation_monitor import OscillationMonitor
from keras_compress.qat.scale_gradient_freezing import ScaleGradientFreezing

__all__ = [
    "BitWidthSchedule",
    "ConfidenceGuidedAnnealing",
    "FreezeBatchNorm",
    "OscillationDampening",
    "OscillationFreezing",
    "OscillationMonitor",
    "ScaleGradientFreezing",
    "gradient_disorder",
]
