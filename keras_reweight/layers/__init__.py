"""Layers that losses and weightings need in the model, layers with other kernels, ensembles."""

from keras_reweight.layers.adversarial_style import AdversarialStyle
from keras_reweight.layers.ard_prior import ARDPrior
from keras_reweight.layers.arl_fusion import ARLFusion
from keras_reweight.layers.companded_conv2d import CompandedConv2D
from keras_reweight.layers.companded_dense import CompandedDense
from keras_reweight.layers.csqmi_regularizer import CSQMIRegularizer
from keras_reweight.layers.fold_kernels import fold_kernels
from keras_reweight.layers.gaussian_sampling import GaussianSampling
from keras_reweight.layers.kl_regularizer import KLRegularizer
from keras_reweight.layers.learnable_ensemble import LearnableEnsemble
from keras_reweight.layers.logit_adjustment import LogitAdjustment
from keras_reweight.layers.loss_predictor import LossPredictor
from keras_reweight.layers.normed_dense import NormedDense
from keras_reweight.layers.ordinal_head import OrdinalHead
from keras_reweight.layers.quantile_aggregator import QuantileAggregator
from keras_reweight.layers.weighted_conv1d import WeightedConv1D
from keras_reweight.layers.weighted_conv2d import WeightedConv2D
from keras_reweight.layers.weighted_conv3d import WeightedConv3D
from keras_reweight.layers.with_loss_predictor import WithLossPredictor

__all__ = [
    "ARDPrior",
    "ARLFusion",
    "AdversarialStyle",
    "CSQMIRegularizer",
    "CompandedConv2D",
    "CompandedDense",
    "GaussianSampling",
    "KLRegularizer",
    "LearnableEnsemble",
    "LogitAdjustment",
    "LossPredictor",
    "NormedDense",
    "OrdinalHead",
    "QuantileAggregator",
    "WeightedConv1D",
    "WeightedConv2D",
    "WeightedConv3D",
    "WithLossPredictor",
    "fold_kernels",
]
