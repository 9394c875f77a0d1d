"""Losses for `compile`."""

from keras_reweight.losses.reweighted_loss import ReweightedLoss

__all__ = [
    "ReweightedLoss",
]
