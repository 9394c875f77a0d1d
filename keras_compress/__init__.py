"""Smaller, faster models: pruning and quantization for Keras 3."""

from keras_compress import (
    analysis,
    bits,
    calibration,
    callbacks,
    continual,
    dynamic,
    export,
    grids,
    layers,
    migration,
    optimizers,
    post_training,
    pruning,
    qat,
    quantization,
    quantizers,
    retraining,
    schedules,
    sparse_training,
    structured,
)
from keras_compress.post_training import quantize as quantize_post_training
from keras_compress.pruning import prune_magnitude, sparsity_report, strip
from keras_compress.quantization import freeze, quantize_aware
from keras_compress.structured import prune_structured
from keras_reweight._version import __version__

__all__ = [
    "__version__",
    "analysis",
    "bits",
    "calibration",
    "callbacks",
    "continual",
    "dynamic",
    "export",
    "freeze",
    "grids",
    "layers",
    "migration",
    "optimizers",
    "post_training",
    "prune_magnitude",
    "prune_structured",
    "pruning",
    "qat",
    "quantization",
    "quantize_aware",
    "quantize_post_training",
    "quantizers",
    "retraining",
    "schedules",
    "sparse_training",
    "sparsity_report",
    "strip",
    "structured",
]
