"""Fewer weights: what matters, how much when, where, and what holds it."""

from keras_compress.pruning.allocations import (
    Allocation,
    AlphaAllocation,
    ERKAllocation,
    GlobalAllocation,
    LAMPAllocation,
    PlanAllocation,
    RateDistortionAllocation,
    UniformAllocation,
    UniformPlusAllocation,
)
from keras_compress.pruning.criteria import (
    SNIP,
    Criterion,
    DualImportance,
    GraSP,
    Magnitude,
    Movement,
    OptimalBrainDamage,
    RandomScores,
    SynFlow,
    Taylor,
    Wanda,
)
from keras_compress.pruning.keep_sparsity import KeepSparsity
from keras_compress.pruning.magnitude_pruning import MagnitudePruning
from keras_compress.pruning.prune_magnitude import prune_magnitude
from keras_compress.pruning.prune_weights import prune_weights
from keras_compress.pruning.pruning import Pruning
from keras_compress.pruning.pruning_report import PruningReport
from keras_compress.pruning.sparsity_report import SparsityReport, sparsity_report
from keras_compress.pruning.strip import strip

__all__ = [
    "Allocation",
    "AlphaAllocation",
    "Criterion",
    "DualImportance",
    "ERKAllocation",
    "GlobalAllocation",
    "GraSP",
    "KeepSparsity",
    "LAMPAllocation",
    "Magnitude",
    "MagnitudePruning",
    "Movement",
    "OptimalBrainDamage",
    "PlanAllocation",
    "Pruning",
    "PruningReport",
    "RandomScores",
    "RateDistortionAllocation",
    "SNIP",
    "SparsityReport",
    "SynFlow",
    "Taylor",
    "UniformAllocation",
    "UniformPlusAllocation",
    "Wanda",
    "prune_magnitude",
    "prune_weights",
    "sparsity_report",
    "strip",
]
