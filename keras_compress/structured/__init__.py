"""Fewer channels: which belong together, which matter, and the model without the rest."""

from keras_compress.structured.adaptive_width import adaptive_width
from keras_compress.structured.block_importance import block_importance
from keras_compress.structured.channel_budget import ChannelBudget
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.channel_groups import channel_groups
from keras_compress.structured.flap_prune import flap_prune
from keras_compress.structured.importances import (
    ChannelImportance,
    GroupGeometricMedian,
    GroupHessian,
    GroupImportance,
    GroupLAMP,
    GroupMagnitude,
    GroupTaylor,
    RandomImportance,
)
from keras_compress.structured.importances.entropy_taylor import EntropyTaylor
from keras_compress.structured.importances.fluctuation import Fluctuation
from keras_compress.structured.importances.obs_importance import OBSImportance
from keras_compress.structured.iterative_structured import iterative_structured
from keras_compress.structured.latency import Latency
from keras_compress.structured.noise_inputs import noise_inputs
from keras_compress.structured.prune_structured import prune_structured
from keras_compress.structured.recalibrate_batch_norm import recalibrate_batch_norm
from keras_compress.structured.similarity_entropy import similarity_entropy
from keras_compress.structured.structural_report import StructuralReport, structural_report
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.channels.weight_slice import WeightSlice

__all__ = [
    "ChannelBudget",
    "ChannelGraph",
    "ChannelGroup",
    "ChannelImportance",
    "EntropyTaylor",
    "Fluctuation",
    "GroupGeometricMedian",
    "GroupHessian",
    "GroupImportance",
    "GroupLAMP",
    "GroupMagnitude",
    "GroupTaylor",
    "Latency",
    "OBSImportance",
    "RandomImportance",
    "StructuralReport",
    "WeightSlice",
    "adaptive_width",
    "block_importance",
    "channel_groups",
    "flap_prune",
    "iterative_structured",
    "noise_inputs",
    "prune_structured",
    "recalibrate_batch_norm",
    "similarity_entropy",
    "structural_report",
]
