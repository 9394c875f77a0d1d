"""Where: how a total sparsity is spread over variables."""

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.alpha_allocation import AlphaAllocation
from keras_compress.pruning.allocations.erk_allocation import ERKAllocation
from keras_compress.pruning.allocations.global_allocation import GlobalAllocation
from keras_compress.pruning.allocations.lamp_allocation import LAMPAllocation
from keras_compress.pruning.allocations.plan_allocation import PlanAllocation
from keras_compress.pruning.allocations.rate_distortion_allocation import RateDistortionAllocation
from keras_compress.pruning.allocations.uniform_allocation import UniformAllocation
from keras_compress.pruning.allocations.uniform_plus_allocation import UniformPlusAllocation

__all__ = [
    "Allocation",
    "AlphaAllocation",
    "ERKAllocation",
    "GlobalAllocation",
    "LAMPAllocation",
    "PlanAllocation",
    "RateDistortionAllocation",
    "UniformAllocation",
    "UniformPlusAllocation",
]
