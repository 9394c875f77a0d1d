"""Weights of samples and tokens as functions of a batch."""

from keras_reweight.weightings.chi_square_dro import ChiSquareDRO
from keras_reweight.weightings.class_balanced import ClassBalanced
from keras_reweight.weightings.clipped import Clipped
from keras_reweight.weightings.cvar import CVaR
from keras_reweight.weightings.energy import Energy
from keras_reweight.weightings.extremes import Extremes
from keras_reweight.weightings.focal import Focal
from keras_reweight.weightings.importance import Importance
from keras_reweight.weightings.inverse_frequency import InverseFrequency
from keras_reweight.weightings.kl_dro import KLDRO
from keras_reweight.weightings.lin_upper import LinUpper
from keras_reweight.weightings.log_frequency import LogFrequency
from keras_reweight.weightings.mixed import Mixed
from keras_reweight.weightings.npo import NPO
from keras_reweight.weightings.probability_margin import ProbabilityMargin
from keras_reweight.weightings.product import Product
from keras_reweight.weightings.quadratic import Quadratic
from keras_reweight.weightings.sat_imp import SatImp
from keras_reweight.weightings.saturation import Saturation
from keras_reweight.weightings.sim_npo import SimNPO
from keras_reweight.weightings.truncated import Truncated
from keras_reweight.weightings.upper import Upper
from keras_reweight.weightings.warm_up import WarmUp
from keras_reweight.weightings.weighting import Weighting

__all__ = [
    "CVaR",
    "ChiSquareDRO",
    "ClassBalanced",
    "Clipped",
    "Energy",
    "Extremes",
    "Focal",
    "Importance",
    "InverseFrequency",
    "KLDRO",
    "LinUpper",
    "LogFrequency",
    "Mixed",
    "NPO",
    "ProbabilityMargin",
    "Product",
    "Quadratic",
    "SatImp",
    "Saturation",
    "SimNPO",
    "Truncated",
    "Upper",
    "WarmUp",
    "Weighting",
]
