"""Values that vary over training steps."""

from keras_reweight.core.schedules import Constant, PolynomialDecay, Schedule

__all__ = ["Constant", "PolynomialDecay", "Schedule"]
