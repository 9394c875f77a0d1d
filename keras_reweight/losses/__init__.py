"""Losses built for weighting."""

from keras_reweight.losses.reweighted_loss import ReweightedLoss

__all__ = ["ReweightedLoss"]
