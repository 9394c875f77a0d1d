"""What matters: scores of weights."""

from keras_compress.pruning.criteria.criterion import Criterion
from keras_compress.pruning.criteria.magnitude import Magnitude

__all__ = [
    "Criterion",
    "Magnitude",
]
