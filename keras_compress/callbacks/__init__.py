"""What changes a model while it trains."""

from keras_compress.analysis.pq_index_monitor import PQIndexMonitor
from keras_compress.pruning import KeepSparsity, MagnitudePruning, Pruning
from keras_compress.qat import (
    BitWidthSchedule,
    ConfidenceGuidedAnnealing,
    FreezeBatchNorm,
    OscillationDampening,
    OscillationFreezing,
    OscillationMonitor,
    ScaleGradientFreezing,
)
from keras_compress.retraining.temp_balance import TempBalance
from keras_compress.sparse_training import SparseTraining

__all__ = [
    "BitWidthSchedule",
    "ConfidenceGuidedAnnealing",
    "FreezeBatchNorm",
    "KeepSparsity",
    "MagnitudePruning",
    "OscillationDampening",
    "OscillationFreezing",
    "OscillationMonitor",
    "PQIndexMonitor",
    "Pruning",
    "ScaleGradientFreezing",
    "SparseTraining",
    "TempBalance",
]
