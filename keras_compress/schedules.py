"""Amounts that vary over training steps."""

from keras_reweight.core.schedules import Constant, PolynomialDecay

__all__ = ["Constant", "PolynomialDecay"]
