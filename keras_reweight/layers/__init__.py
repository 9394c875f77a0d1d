"""Layers that losses and weightings need in the model, layers with other kernels, ensembles."""

from keras_reweight.layers.ard_prior import ARDPrior
from keras_reweight.layers.csqmi_regularizer import CSQMIRegularizer
from keras_reweight.layers.gaussian_sampling import GaussianSampling
from keras_reweight.layers.kl_regularizer import KLRegularizer
from keras_reweight.layers.logit_adjustment import LogitAdjustment
from keras_reweight.layers.loss_predictor import LossPredictor
from keras_reweight.layers.normed_dense import NormedDense
from keras_reweight.layers.ordinal_head import OrdinalHead
from keras_reweight.layers.quantile_aggregator import QuantileAggregator
from keras_reweight.layers.with_loss_predictor import WithLossPredictor

__all__ = [
    "ARDPrior",
    "CSQMIRegularizer",
    "GaussianSampling",
    "KLRegularizer",
    "LogitAdjustment",
    "LossPredictor",
    "NormedDense",
    "OrdinalHead",
    "QuantileAggregator",
    "WithLossPredictor",
]
