"""What a weight does to the loss, to first order."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.pruning.criteria._data_criterion import DataCriterion, mean_over, weights_of
from keras_reweight.core.validation import check_boolean


class Taylor(DataCriterion):
    """Score a weight by the change of the loss that its removal causes, to first order.

    `s = mean over batches of (w g)^2`, or of `|w g|` with `squared=False`, where `g` is the
    gradient of the loss on the batch. Batches count by their numbers of samples. The squares look
    at how far the losses of batches move, whichever way; that makes sense on a trained model too,
    where the gradient of all the data is nearly zero. For trained models; at 90 % and more score
    several times on the way, by `prune_iteratively` or a gradual schedule, since a derivative says
    little about what happens when most other weights go, too. Without enough data (a few hundred
    samples) magnitude is the better choice.

    Args:
        data: Labeled data: float or integer arrays `(x, y)` or `(x, y, sample_weight)` of shape
            `(num_samples, ...)`, or a `PyDataset`, `tf.data.Dataset`, `DataLoader` or list of
            batches; read again at every update of the masks.
        loss: Anything that `compile` takes. Defaults to `None`, the compiled loss.
        squared: Whether to average squares. Defaults to `True`.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.
        training: Bool, whether Dropout and batch statistics act as in training. Defaults to
            `False`.

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
    kc.pruning.prune_weights(model, 0.5, criterion=kc.pruning.Taylor((x, x[:, :1])))
    ```

    Reference:
        Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, arXiv
        1906.10771, section 3.1 (a weight alone, not a filter); the absolute value is that of
        Molchanov et al., arXiv 1611.06440.

    Deviations:
        The paper gathers gradients during fine-tuning; here they are all taken at the present
        weights, in passes of their own.

    Cost:
        One forward and one backward pass over the data at every update of the masks.
    """

    def __init__(
        self,
        data: Any,
        *,
        loss: Any = None,
        squared: bool = True,
        batch_size: int = 32,
        training: bool = False,
    ):
        check_boolean("squared", squared)
        super().__init__(data, loss=loss, batch_size=batch_size, training=training)
        self.squared = squared

    def scores(self, model, variables):
        weights = weights_of(variables)
        measure = np.square if self.squared else np.abs
        return mean_over(
            (count, [measure(w * g) for w, g in zip(weights, gradients, strict=True)])
            for count, gradients in self.gradients(model, variables)
        )
