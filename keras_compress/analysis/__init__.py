"""Looking at models: what they cost, and what compression changed."""

from keras_compress.analysis.compute_report import ComputeReport
from keras_compress.analysis.count_macs import count_macs

__all__ = [
    "ComputeReport",
    "count_macs",
]
