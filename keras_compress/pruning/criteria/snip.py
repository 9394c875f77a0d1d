"""Which connections matter before a model is trained."""

from __future__ import annotations

import numpy as np

from keras_compress.pruning.criteria._data_criterion import DataCriterion, mean_over, weights_of


class SNIP(DataCriterion):
    """Score a connection by how much the loss would notice it, before any training.

    `s = |w g| / sum |w g|` with the gradient `g` of the loss over all the data: the derivative of
    the loss with respect to a gate on the connection. Meant for a model just initialized: prune
    once, then train what is left under `KeepSparsity`. A few batches suffice (the paper takes one,
    of 100 to 128 samples). At extreme sparsity whole layers may vanish; repeating the scoring with
    `prune_iteratively`, or `SynFlow`, avoids that. After training use `Taylor`: the gradient over
    all the data is then nearly zero.

    Args:
        data: Labeled data: float or integer arrays `(x, y)` or `(x, y, sample_weight)` of shape
            `(num_samples, ...)`, or a `PyDataset`, `tf.data.Dataset`, `DataLoader` or list of
            batches; read once.
        loss: Anything that `compile` takes. Defaults to `None`, the compiled loss.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.
        training: Bool, whether Dropout and batch statistics act as in training; for a model with
            BatchNormalization that was never trained, `True` is right. Defaults to `False`.

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
    criterion = kc.pruning.SNIP((x, x[:, :1]), loss="mse")
    kc.pruning.prune_weights(model, 0.5, criterion=criterion)
    ```

    Reference:
        Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity",
        ICLR 2019, arXiv 1810.02340, equation 5.

    Deviations:
        The official code draws weights of normalized variance for the scoring and trains from
        those; here the weights are those the model has.

    Cost:
        One forward and one backward pass over the data.
    """

    def scores(self, model, variables):
        weights = weights_of(variables)
        gradients = mean_over(self.gradients(model, variables))
        scores = [np.abs(w * g) for w, g in zip(weights, gradients, strict=True)]
        total = sum(score.sum() for score in scores)
        return [score / total for score in scores] if total > 0.0 else scores
