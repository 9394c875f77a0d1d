"""Losses for `compile`."""

from keras_reweight.losses.any_loss import AnyLoss
from keras_reweight.losses.auc_margin import AUCMarginLoss
from keras_reweight.losses.auc_min_max import AUCMinMaxLoss
from keras_reweight.losses.balanced_softmax import BalancedSoftmaxLoss
from keras_reweight.losses.batch_loss import BatchLoss
from keras_reweight.losses.comp_sum import CompSumLoss
from keras_reweight.losses.conditional_cs import ConditionalCSLoss
from keras_reweight.losses.ens_loss import EnsLoss
from keras_reweight.losses.equalization import EqualizationLoss
from keras_reweight.losses.lade import LADELoss
from keras_reweight.losses.ldam import LDAMLoss
from keras_reweight.losses.logit_adjusted import LogitAdjustedLoss
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.losses.reweighted_loss import ReweightedLoss
from keras_reweight.losses.seesaw import SeesawLoss
from keras_reweight.losses.softmax_equalization import SoftmaxEqualizationLoss

__all__ = [
    "AUCMarginLoss",
    "AUCMinMaxLoss",
    "AnyLoss",
    "BalancedSoftmaxLoss",
    "BatchLoss",
    "CompSumLoss",
    "ConditionalCSLoss",
    "EnsLoss",
    "EqualizationLoss",
    "LADELoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "MaskedLoss",
    "ReweightedLoss",
    "SeesawLoss",
    "SoftmaxEqualizationLoss",
]
