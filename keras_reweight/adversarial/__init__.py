"""Adversarial training, with weights of samples."""

from keras_reweight.adversarial.adversarial_training import AdversarialTraining
from keras_reweight.adversarial.evaluate_robust import evaluate_robust
from keras_reweight.adversarial.free_adversarial_training import FreeAdversarialTraining
from keras_reweight.adversarial.geometry_aware import GeometryAware
from keras_reweight.adversarial.madry import Madry
from keras_reweight.adversarial.mart import MART
from keras_reweight.adversarial.robust_objective import RobustObjective, RobustTerm
from keras_reweight.adversarial.robust_report import RobustReport
from keras_reweight.adversarial.smooth_comp_sum import SmoothCompSum
from keras_reweight.adversarial.srat import SRAT
from keras_reweight.adversarial.trades import TRADES

__all__ = [
    "AdversarialTraining",
    "FreeAdversarialTraining",
    "GeometryAware",
    "MART",
    "Madry",
    "RobustObjective",
    "RobustReport",
    "RobustTerm",
    "SRAT",
    "SmoothCompSum",
    "TRADES",
    "evaluate_robust",
]
