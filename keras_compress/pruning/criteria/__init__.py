"""What matters: scores of weights."""

from keras_compress.pruning.criteria.criterion import Criterion
from keras_compress.pruning.criteria.dual_importance import DualImportance
from keras_compress.pruning.criteria.grasp import GraSP
from keras_compress.pruning.criteria.magnitude import Magnitude
from keras_compress.pruning.criteria.movement import Movement
from keras_compress.pruning.criteria.optimal_brain_damage import OptimalBrainDamage
from keras_compress.pruning.criteria.random_scores import RandomScores
from keras_compress.pruning.criteria.snip import SNIP
from keras_compress.pruning.criteria.synflow import SynFlow
from keras_compress.pruning.criteria.taylor import Taylor
from keras_compress.pruning.criteria.wanda import Wanda

__all__ = [
    "Criterion",
    "DualImportance",
    "GraSP",
    "Magnitude",
    "Movement",
    "OptimalBrainDamage",
    "RandomScores",
    "SNIP",
    "SynFlow",
    "Taylor",
    "Wanda",
]
