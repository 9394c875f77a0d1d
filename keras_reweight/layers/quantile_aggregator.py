"""One set of quantiles from those of several models."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_choice
from keras_reweight.functional.monotone_quantiles import METHODS, monotone_quantiles


@keras.saving.register_keras_serializable(package="keras_reweight")
class QuantileAggregator(keras.layers.Layer):
    """Weighted mean of the quantiles of several models, with learned weights.

    Use it on the predictions that models make for samples they were not trained on (out of fold),
    with `QuantileLoss`; the weights are a softmax and start equal, so the first output is the plain
    mean. `"coarse"` learns one weight a model, `"medium"` one for each model and level, `"fine"`
    lets a level of the output use every level of every model. More weights need more data.

    Args:
        resolution: `"coarse"`, `"medium"` or `"fine"`. Defaults to `"medium"`.
        monotone: `None`, or the method with which `monotone_quantiles` orders the output: `"sort"`,
            `"isotonic"`, `"median_out"`, `"cummax"` or `"average"`. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Returns:
        A layer from float tensors of shape `(batch, models, quantiles)` to `(batch, quantiles)`.

    Raises:
        ValueError: If `resolution` or `monotone` is unknown, or the input has another rank.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    levels = [0.1, 0.5, 0.9]
    stacked = np.sort(np.random.default_rng(0).normal(size=(16, 2, 3)))
    model = keras.Sequential([keras.Input((2, 3)), kr.layers.QuantileAggregator(monotone="sort")])
    model.compile("adam", kr.losses.QuantileLoss(levels))
    model.fit(stacked, np.zeros(16), verbose=0)
    ```

    Reference:
        Fakoor, Kim, Mueller, Smola and Tibshirani, "Flexible Model Aggregation for Quantile
        Regression", JMLR 2023, arXiv 2103.00083 (global aggregators of three resolutions).

    Deviations:
        The weights do not depend on features (the local aggregators of the paper).
    """

    def __init__(self, resolution: str = "medium", *, monotone: str | None = None, **kwargs: Any):
        check_choice("resolution", resolution, ("coarse", "medium", "fine"))
        check_choice("monotone", monotone, (None, *METHODS))
        super().__init__(**kwargs)
        self.resolution = resolution
        self.monotone = monotone

    def build(self, input_shape):
        if len(input_shape) != 3 or None in tuple(input_shape)[1:]:
            raise ValueError(
                f"{self.name}: the input must have shape (batch, models, quantiles), got "
                f"{tuple(input_shape)}."
            )
        models, levels = input_shape[1:]
        shapes = {"coarse": (models, 1), "medium": (models, levels)}
        self.weight_logits = self.add_weight(
            shape=shapes.get(self.resolution, (models * levels, levels)),
            initializer="zeros",
            name="weight_logits",
        )

    def call(self, inputs):
        weights = ops.softmax(ops.convert_to_tensor(self.weight_logits), axis=0)
        weights = ops.cast(weights, inputs.dtype)
        if self.resolution == "fine":
            outputs = ops.matmul(ops.reshape(inputs, (-1, weights.shape[0])), weights)
        else:
            outputs = ops.sum(inputs * weights, axis=1)
        if self.monotone is not None:
            outputs = monotone_quantiles(outputs, method=self.monotone)
        return outputs

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "resolution": self.resolution,
            "monotone": self.monotone,
        }
