"""Which connections a signal needs to get through, without any data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.pruning.criteria._data_criterion import weights_of
from keras_compress.pruning.criteria.criterion import Criterion
from keras_reweight.core.synaptic_flow import synaptic_flow


@keras.saving.register_keras_serializable(package="keras_compress")
class SynFlow(Criterion):
    """Score a connection by the flow of an all-positive signal through it, without data.

    `s = |w dR/dw|` where `R` is the sum of the outputs of the model made positive and linear: all
    weights replaced by their absolute values, activations by the identity, the input by ones. The
    scores that enter a unit add up to those that leave it, so a small layer has large ones; when
    they are computed again after every few weights that go, no layer is ever emptied before all the
    others are. Use it through `prune_iteratively`, before training, at extreme sparsity. In one
    shot it loses that property, and it does not see the task at all: at moderate sparsity magnitude
    after training is better.

    Args:
        input_shapes: Shape of one sample (tuple of integers, without the batch axis), or a list or
            dict of such. Defaults to `None`, what the model was built with.

    Returns:
        A `Criterion` for `prune_iteratively`, `prune_weights` and `Pruning`.

    Raises:
        TypeError: In `scores`, if `input_shapes` is no tuple of integers.
        ValueError: In `scores`, if the model does not say its input shapes and `input_shapes` is
            not given, if it has recurrent, attention or embedding layers, takes integers, its flow
            exceeds its float type, or a weight is NaN.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    kc.pruning.prune_iteratively(model, 0.9, criterion=kc.pruning.SynFlow(), rounds=10)
    assert abs(kc.sparsity_report(model).sparsity - 0.9) < 0.01
    ```

    Reference:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
        flow", NeurIPS 2020, arXiv 2006.05467, algorithm 1; official code
        github.com/ganguli-lab/Synaptic-Flow.

    Deviations:
        The official code leaves activations in place, which is the same for ReLU. Normalizations
        over features are passed through and moving means of BatchNormalization are left out, as
        both would break the conservation. In place of float64, which not every backend has, the
        signal is scaled until float32 holds it.

    Cost:
        One forward and one backward pass of a single sample; two or three for very deep models.
    """

    def __init__(self, input_shapes: Any = None):
        self.input_shapes = input_shapes

    def scores(self, model: keras.Model, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
        weights_of(variables)
        return synaptic_flow(model, variables, self.input_shapes)

    def get_config(self):
        return {"input_shapes": self.input_shapes}
