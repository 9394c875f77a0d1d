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
from keras_compress.pruning.gini_index import gini_index
from keras_compress.pruning.keep_sparsity import KeepSparsity
from keras_compress.pruning.layer_alphas import layer_alphas
from keras_compress.pruning.layer_collapse import LayerCollapseWarning, collapsed_layers
from keras_compress.pruning.magnitude_pruning import MagnitudePruning
from keras_compress.pruning.patterns import BlockPattern, NMPattern, Pattern, TiedGates
from keras_compress.pruning.plan_sparsities import plan_sparsities
from keras_compress.pruning.pq_index import pq_index
from keras_compress.pruning.prune_iteratively import prune_iteratively
from keras_compress.pruning.prune_magnitude import prune_magnitude
from keras_compress.pruning.prune_weights import prune_weights
from keras_compress.pruning.pruning import Pruning
from keras_compress.pruning.pruning_report import PruningReport
from keras_compress.pruning.sap import SAP
from keras_compress.pruning.sparsity_report import SparsityReport, sparsity_report
from keras_compress.pruning.sparsity_rule import SparsityRule
from keras_compress.pruning.strip import strip
from keras_reweight.core.hill_alpha import hill_alpha

__all__ = [
    "Allocation",
    "AlphaAllocation",
    "BlockPattern",
    "Criterion",
    "DualImportance",
    "ERKAllocation",
    "GlobalAllocation",
    "GraSP",
    "KeepSparsity",
    "LAMPAllocation",
    "LayerCollapseWarning",
    "Magnitude",
    "MagnitudePruning",
    "Movement",
    "NMPattern",
    "OptimalBrainDamage",
    "Pattern",
    "PlanAllocation",
    "Pruning",
    "PruningReport",
    "RandomScores",
    "RateDistortionAllocation",
    "SAP",
    "SNIP",
    "SparsityReport",
    "SparsityRule",
    "SynFlow",
    "Taylor",
    "TiedGates",
    "UniformAllocation",
    "UniformPlusAllocation",
    "Wanda",
    "collapsed_layers",
    "gini_index",
    "hill_alpha",
    "layer_alphas",
    "plan_sparsities",
    "pq_index",
    "prune_iteratively",
    "prune_magnitude",
    "prune_weights",
    "sparsity_report",
    "strip",
]
