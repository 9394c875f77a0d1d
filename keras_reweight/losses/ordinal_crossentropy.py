"""Crossentropy of ordered classes on cumulative logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.labels import labels_like
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.functional.ordinal_probabilities import ordinal_probabilities


@keras.saving.register_keras_serializable(package="keras_reweight")
class OrdinalCrossentropy(keras.losses.Loss):
    """Negative log-likelihood of ordered classes, for the outputs of `OrdinalHead`.

    Use it where classes have an order (grades, severities) and the last ones are rare. Outputs are
    the `classes - 1` logits of `P(y <= k)`; the loss is `-log p_y` with the class probabilities of
    `ordinal_probabilities`. A class at the floor gets no gradient of its own, so let the head start
    with spread intercepts, as `OrdinalHead` does.

    Args:
        num_classes: Integer >= 2.
        floor: Float in `(0, 0.1]`, the smallest probability. Defaults to `1e-8`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String or `None`, name of the loss. Defaults to `"ordinal_crossentropy"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with `y_true`, class ids of shape `(batch, ...)` or `(batch, ..., 1)` or one-hot
        labels of shape `(batch, ..., classes)`, and `y_pred`, float of shape
        `(batch, ..., classes - 1)`: the reduced loss.

    Raises:
        TypeError: If `num_classes` is not an integer or `floor` not a number.
        ValueError: If an argument is out of range, or on a call, if the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((3,)), kr.layers.OrdinalHead(4, penalty=3e-3)])
    model.compile("adam", kr.losses.OrdinalCrossentropy(4))
    model.fit(np.random.default_rng(0).normal(size=(16, 3)), np.arange(16) % 4, verbose=0)
    ```

    Reference:
        Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional Odds", ICML
        2023, arXiv 2305.18700.

    Deviations:
        The official R code floors probabilities when predicting; the floor is part of the loss
        here, which keeps it finite where boundaries cross.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        floor: float = 1e-8,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "ordinal_crossentropy",
        dtype: Any = None,
    ):
        check_integer("num_classes", num_classes, minimum=2)
        check_number("floor", floor, exclusive_minimum=0.0, maximum=0.1)
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.num_classes = num_classes
        self.floor = floor

    def call(self, y_true, y_pred):
        if y_pred.shape[-1] != self.num_classes - 1:
            raise ValueError(
                f"`y_pred` must hold the {self.num_classes - 1} cumulative logits of "
                f"`num_classes`={self.num_classes}, got shape {tuple(y_pred.shape)}."
            )
        probabilities = ordinal_probabilities(y_pred, floor=self.floor)
        labels = labels_like(y_true, probabilities)
        return -ops.sum(labels * ops.log(probabilities), axis=-1)

    def get_config(self) -> dict:
        return {**super().get_config(), "num_classes": self.num_classes, "floor": self.floor}
