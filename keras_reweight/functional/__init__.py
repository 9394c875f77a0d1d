"""Pure functions of arrays or tensors: weights and selections for training loops of your own."""

from keras_reweight.functional.cs_divergence import cs_divergence
from keras_reweight.functional.cs_qmi import cs_qmi

__all__ = [
    "cs_divergence",
    "cs_qmi",
]
