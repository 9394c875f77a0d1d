"""Looking at models: what they cost, and what compression changed."""

from keras_compress.analysis.compression_report import CompressionReport, compression_report
from keras_compress.analysis.compute_report import ComputeReport
from keras_compress.analysis.count_macs import count_macs
from keras_compress.analysis.oracle_report import OracleReport
from keras_compress.analysis.plot_sparsity import plot_sparsity
from keras_compress.analysis.pq_index_monitor import PQIndexMonitor
from keras_compress.analysis.pruning_oracle_report import pruning_oracle_report
from keras_reweight.core.feature_cka import feature_cka
from keras_reweight.core.js_divergence import js_divergence
from keras_reweight.core.kendall_tau import kendall_tau
from keras_reweight.core.linear_cka import linear_cka
from keras_reweight.core.linear_mode_connectivity import linear_mode_connectivity
from keras_reweight.core.mode_connectivity import ModeConnectivity
from keras_reweight.core.prediction_agreement import prediction_agreement

__all__ = [
    "CompressionReport",
    "ComputeReport",
    "ModeConnectivity",
    "OracleReport",
    "PQIndexMonitor",
    "compression_report",
    "count_macs",
    "feature_cka",
    "js_divergence",
    "kendall_tau",
    "linear_cka",
    "linear_mode_connectivity",
    "plot_sparsity",
    "prediction_agreement",
    "pruning_oracle_report",
]
