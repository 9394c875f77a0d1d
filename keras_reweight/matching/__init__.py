"""Lining up the channels of models that were trained from different starts."""

from keras_reweight.matching.align_many import align_many
from keras_reweight.matching.alignment_report import AlignmentReport, alignment_report
from keras_reweight.matching.channel_matching import ChannelMatching
from keras_reweight.matching.interpolation_curve import interpolation_curve
from keras_reweight.matching.match_activations import match_activations
from keras_reweight.matching.match_weights import match_weights
from keras_reweight.matching.merge_many import merge_many
from keras_reweight.matching.permute import permute

__all__ = [
    "AlignmentReport",
    "ChannelMatching",
    "align_many",
    "alignment_report",
    "interpolation_curve",
    "match_activations",
    "match_weights",
    "merge_many",
    "permute",
]
