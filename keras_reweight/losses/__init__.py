"""Losses for `compile`."""

from keras_reweight.losses.any_loss import AnyLoss
from keras_reweight.losses.auc_margin import AUCMarginLoss
from keras_reweight.losses.auc_min_max import AUCMinMaxLoss
from keras_reweight.losses.balanced_softmax import BalancedSoftmaxLoss
from keras_reweight.losses.batch_loss import BatchLoss
from keras_reweight.losses.binomial_deviance import BinomialDevianceLoss
from keras_reweight.losses.communal_contrastive import CommunalContrastiveLoss
from keras_reweight.losses.comp_sum import CompSumLoss
from keras_reweight.losses.conditional_cs import ConditionalCSLoss
from keras_reweight.losses.contrastive import ContrastiveLoss
from keras_reweight.losses.ens_loss import EnsLoss
from keras_reweight.losses.equalization import EqualizationLoss
from keras_reweight.losses.focal_info_nce import FocalInfoNCELoss
from keras_reweight.losses.icnn import ICNNLoss
from keras_reweight.losses.info_nce import InfoNCELoss
from keras_reweight.losses.lade import LADELoss
from keras_reweight.losses.ldam import LDAMLoss
from keras_reweight.losses.lifted_structure import LiftedStructureLoss
from keras_reweight.losses.logit_adjusted import LogitAdjustedLoss
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.losses.multi_similarity import MultiSimilarityLoss
from keras_reweight.losses.n_pair import NPairLoss
from keras_reweight.losses.pair_loss import PairLoss
from keras_reweight.losses.proto_triplet import ProtoTripletLoss
from keras_reweight.losses.reweighted_loss import ReweightedLoss
from keras_reweight.losses.seesaw import SeesawLoss
from keras_reweight.losses.shrink_match import ShrinkMatchLoss
from keras_reweight.losses.softmax_equalization import SoftmaxEqualizationLoss
from keras_reweight.losses.triplet import TripletLoss

__all__ = [
    "AUCMarginLoss",
    "AUCMinMaxLoss",
    "AnyLoss",
    "BalancedSoftmaxLoss",
    "BatchLoss",
    "BinomialDevianceLoss",
    "CommunalContrastiveLoss",
    "CompSumLoss",
    "ConditionalCSLoss",
    "ContrastiveLoss",
    "EnsLoss",
    "EqualizationLoss",
    "FocalInfoNCELoss",
    "ICNNLoss",
    "InfoNCELoss",
    "LADELoss",
    "LDAMLoss",
    "LiftedStructureLoss",
    "LogitAdjustedLoss",
    "MaskedLoss",
    "MultiSimilarityLoss",
    "NPairLoss",
    "PairLoss",
    "ProtoTripletLoss",
    "ReweightedLoss",
    "SeesawLoss",
    "ShrinkMatchLoss",
    "SoftmaxEqualizationLoss",
    "TripletLoss",
]
