"""What a weight does to the loss, to second order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_compress.pruning.criteria._data_criterion import (
    DataCriterion,
    mean_over,
    to_float64,
    weights_of,
)
from keras_reweight.core.batches import batch_length
from keras_reweight.core.gradients import fisher_diagonal
from keras_reweight.core.validation import check_boolean


class OptimalBrainDamage(DataCriterion):
    """Score a weight by the curvature of the loss along it, measured by the empirical Fisher.

    `s = 0.5 * f * w^2` with `f = mean of g^2`, the diagonal of the empirical Fisher information, in
    place of the diagonal of the Hessian: at a minimum of a likelihood the two agree in expectation.
    `per_sample=True` squares the gradient of every sample, which is the definition;
    `per_sample=False` squares that of every batch, many times cheaper, and up to the factor 0.5 the
    same as `Taylor`. For trained models; before training, gradients say little about curvature.

    Args:
        data: Labeled data: float or integer arrays `(x, y)` or `(x, y, sample_weight)` of shape
            `(num_samples, ...)`, or a `PyDataset`, `tf.data.Dataset`, `DataLoader` or list of
            batches; read again at every update of the masks.
        loss: Anything that `compile` takes. Defaults to `None`, the compiled loss.
        per_sample: Whether to square the gradients of samples and not those of batches. Defaults
            to `True`.
        batch_size: Integer >= 1, samples worked on together. Defaults to `32`.

    Returns:
        A `Criterion` for `Pruning` and `prune_weights`; it has no config, because it holds data.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `batch_size` is below 1; in `scores`, if the model has no loss, the labels do
            not fit it, `data` is empty, or a weight is NaN.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    criterion = kc.pruning.OptimalBrainDamage((x, x[:, :1]), per_sample=False)
    kc.pruning.prune_weights(model, 0.5, criterion=criterion)
    ```

    Reference:
        LeCun, Denker and Solla, "Optimal Brain Damage", NeurIPS 1989, the saliency of section 2;
        the Fisher information in place of the Hessian as in Theis et al., arXiv 1801.05787.

    Deviations:
        The paper computes second derivatives of a squared error by back-propagation.

    Cost:
        One forward and one backward pass per sample, or per batch; on JAX and torch memory for the
        gradients of `batch_size` samples.
    """

    def __init__(
        self, data: Any, *, loss: Any = None, per_sample: bool = True, batch_size: int = 32
    ):
        check_boolean("per_sample", per_sample)
        super().__init__(data, loss=loss, batch_size=batch_size)
        self.per_sample = per_sample

    def scores(self, model, variables):
        weights = weights_of(variables)
        fisher = mean_over(self._squares(model, variables))
        return [0.5 * f * np.square(w) for f, w in zip(fisher, weights, strict=True)]

    def _squares(self, model, variables) -> Iterator[tuple[int, list[np.ndarray]]]:
        if not self.per_sample:
            for count, gradients in self.gradients(model, variables):
                yield count, [np.square(gradient) for gradient in gradients]
            return
        for x, y, sample_weight in self.batches():
            squares = fisher_diagonal(
                model,
                x,
                y,
                sample_weight=sample_weight,
                batch_size=self.batch_size,
                **self.options(variables),
            )
            yield batch_length(x), to_float64(squares)
