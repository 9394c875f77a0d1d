"""Flat minima: steps that look at neighbors of the weights."""

from keras_reweight.sharpness.gradient_norm import GradientNorm
from keras_reweight.sharpness.ignite import IGNITE
from keras_reweight.sharpness.mesa import MESA
from keras_reweight.sharpness.nexus import Nexus
from keras_reweight.sharpness.saf import SAF
from keras_reweight.sharpness.sam import SAM
from keras_reweight.sharpness.sharpness_aware import SharpnessAware
from keras_reweight.sharpness.sharpness_rule import SharpnessRule
from keras_reweight.sharpness.udim import UDIM

__all__ = [
    "GradientNorm",
    "IGNITE",
    "MESA",
    "Nexus",
    "SAF",
    "SAM",
    "SharpnessAware",
    "SharpnessRule",
    "UDIM",
]
