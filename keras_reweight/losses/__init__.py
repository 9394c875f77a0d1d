"""Losses for `compile`."""

from keras_reweight.losses.any_loss import AnyLoss
from keras_reweight.losses.auc_margin import AUCMarginLoss
from keras_reweight.losses.auc_min_max import AUCMinMaxLoss
from keras_reweight.losses.auto_weighted import AutoWeightedLoss
from keras_reweight.losses.balanced_softmax import BalancedSoftmaxLoss
from keras_reweight.losses.batch_loss import BatchLoss
from keras_reweight.losses.binomial_deviance import BinomialDevianceLoss
from keras_reweight.losses.communal_contrastive import CommunalContrastiveLoss
from keras_reweight.losses.comp_sum import CompSumLoss
from keras_reweight.losses.conditional_cs import ConditionalCSLoss
from keras_reweight.losses.contrastive import ContrastiveLoss
from keras_reweight.losses.dpo import DPOLoss
from keras_reweight.losses.ens_loss import EnsLoss
from keras_reweight.losses.equalization import EqualizationLoss
from keras_reweight.losses.feature_separation import FeatureSeparationLoss
from keras_reweight.losses.focal_info_nce import FocalInfoNCELoss
from keras_reweight.losses.focal_tversky import FocalTverskyLoss
from keras_reweight.losses.icnn import ICNNLoss
from keras_reweight.losses.info_nce import InfoNCELoss
from keras_reweight.losses.lade import LADELoss
from keras_reweight.losses.ldam import LDAMLoss
from keras_reweight.losses.lifted_structure import LiftedStructureLoss
from keras_reweight.losses.logit_adjusted import LogitAdjustedLoss
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.losses.mip import MIPLoss
from keras_reweight.losses.multi_similarity import MultiSimilarityLoss
from keras_reweight.losses.multinomial_nll import MultinomialNLL
from keras_reweight.losses.n_pair import NPairLoss
from keras_reweight.losses.npo import NPOLoss
from keras_reweight.losses.ordinal_crossentropy import OrdinalCrossentropy
from keras_reweight.losses.pair_loss import PairLoss
from keras_reweight.losses.pld import PLDLoss
from keras_reweight.losses.proto_triplet import ProtoTripletLoss
from keras_reweight.losses.quantile import QuantileLoss
from keras_reweight.losses.relative_ranking import RelativeRankingLoss
from keras_reweight.losses.reweighted_loss import ReweightedLoss
from keras_reweight.losses.rpo import RPOLoss
from keras_reweight.losses.seesaw import SeesawLoss
from keras_reweight.losses.shrink_match import ShrinkMatchLoss
from keras_reweight.losses.sim_npo import SimNPOLoss
from keras_reweight.losses.softmax_equalization import SoftmaxEqualizationLoss
from keras_reweight.losses.stable_max_crossentropy import StableMaxCrossentropy
from keras_reweight.losses.triplet import TripletLoss
from keras_reweight.losses.weighted_interval_score import WeightedIntervalScore

__all__ = [
    "AUCMarginLoss",
    "AUCMinMaxLoss",
    "AnyLoss",
    "AutoWeightedLoss",
    "BalancedSoftmaxLoss",
    "BatchLoss",
    "BinomialDevianceLoss",
    "CommunalContrastiveLoss",
    "CompSumLoss",
    "ConditionalCSLoss",
    "ContrastiveLoss",
    "DPOLoss",
    "EnsLoss",
    "EqualizationLoss",
    "FeatureSeparationLoss",
    "FocalInfoNCELoss",
    "FocalTverskyLoss",
    "ICNNLoss",
    "InfoNCELoss",
    "LADELoss",
    "LDAMLoss",
    "LiftedStructureLoss",
    "LogitAdjustedLoss",
    "MIPLoss",
    "MaskedLoss",
    "MultiSimilarityLoss",
    "MultinomialNLL",
    "NPOLoss",
    "NPairLoss",
    "OrdinalCrossentropy",
    "PLDLoss",
    "PairLoss",
    "ProtoTripletLoss",
    "QuantileLoss",
    "RPOLoss",
    "RelativeRankingLoss",
    "ReweightedLoss",
    "SeesawLoss",
    "ShrinkMatchLoss",
    "SimNPOLoss",
    "SoftmaxEqualizationLoss",
    "StableMaxCrossentropy",
    "TripletLoss",
    "WeightedIntervalScore",
]
