"""Amounts that vary over training steps."""

from keras_reweight.core.exponential_sparsity import ExponentialSparsity
from keras_reweight.core.linear import Linear
from keras_reweight.core.schedules import Constant, PolynomialDecay

__all__ = ["Constant", "ExponentialSparsity", "Linear", "PolynomialDecay"]
