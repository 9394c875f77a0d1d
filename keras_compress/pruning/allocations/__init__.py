"""Where: how a total sparsity is spread over variables."""

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.global_allocation import GlobalAllocation
from keras_compress.pruning.allocations.uniform_allocation import UniformAllocation

__all__ = [
    "Allocation",
    "GlobalAllocation",
    "UniformAllocation",
]
