"""Which connections carry the gradient of a model before it is trained."""

from __future__ import annotations

from typing import Any

from keras_compress.pruning.criteria._data_criterion import (
    DataCriterion,
    mean_over,
    to_float64,
    weights_of,
)
from keras_reweight.core.batches import batch_length
from keras_reweight.core.gradients.tempered import tempered_gradient, tempered_hessian_product
from keras_reweight.core.validation import check_number


class GraSP(DataCriterion):
    """Score a connection by what its removal does to the norm of the gradient.

    Removing a weight changes the squared gradient norm by about `-2 w (H g)`, with `H` and `g` of
    the loss whose logits are divided by a temperature. Weights whose removal raises the norm go
    first, so the score is `w (H g)`, divided by `|sum|`; it may be negative. For models just
    initialized, as `SNIP`, above all at high sparsity. Not for trained models, and the Hessian
    wants smooth or piecewise linear activations and a batch with all the classes in it (the paper
    takes ten samples of each).

    Args:
        data: Labeled data: float or integer arrays `(x, y)` or `(x, y, sample_weight)` of shape
            `(num_samples, ...)`, or a `PyDataset`, `tf.data.Dataset`, `DataLoader` or list of
            batches; read twice.
        loss: Anything that `compile` takes. Defaults to `None`, the compiled loss.
        temperature: Float > 0, what logits are divided by. Where the model is known to end in a
            softmax or sigmoid, that is undone first; any other output counts as logits. Defaults
            to `200.0`.
        batch_size: Integer >= 1, for arrays. Defaults to `32`.
        training: Bool, whether Dropout and batch statistics act as in training; for a model with
            BatchNormalization that was never trained, `True` is right. Defaults to `False`.

    Returns:
        A `Criterion` for `Pruning` and `prune_weights`; it has no config, because it holds data.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `batch_size` is below 1 or `temperature` not positive; in `scores`, if the
            model has no loss, the labels do not fit it, `data` is empty, or a weight is NaN.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    criterion = kc.pruning.GraSP((x, np.arange(64) % 3), loss=loss)
    kc.pruning.prune_weights(model, 0.5, criterion=criterion)
    ```

    Reference:
        Wang, Zhang and Grosse, "Picking Winning Tickets Before Training by Preserving Gradient
        Flow", ICLR 2020, arXiv 2002.07376, equation 8 and algorithm 2; official code
        github.com/alecwangcq/GraSP.

    Deviations:
        The paper's score has the other sign and the highest are removed, which is the same. The
        official code initializes dense layers anew for the scoring and adds the gradients of two
        halves of its data; here the model is taken as it is and gradients are means. `g` holds the
        weights that may be pruned, as there.

    Cost:
        One gradient and one Hessian-vector product over the data, about three forward and three
        backward passes.
    """

    def __init__(
        self,
        data: Any,
        *,
        loss: Any = None,
        temperature: float = 200.0,
        batch_size: int = 32,
        training: bool = False,
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        super().__init__(data, loss=loss, batch_size=batch_size, training=training)
        self.temperature = temperature

    def scores(self, model, variables):
        weights = weights_of(variables)
        gradient = mean_over(self._pass(tempered_gradient, model, variables))
        # The product is linear in the vector: a unit vector keeps float32 away from its ends.
        length = sum(float((part**2).sum()) for part in gradient) ** 0.5
        vector = [part / length if length > 0.0 else part for part in gradient]
        product = mean_over(self._pass(tempered_hessian_product, model, variables, vector))
        scores = [w * length * h for w, h in zip(weights, product, strict=True)]
        total = abs(sum(score.sum() for score in scores))
        return [score / total for score in scores] if total > 0.0 else scores

    def _pass(self, function, model, variables, *vector):
        for x, y, sample_weight in self.batches():
            found = function(
                model,
                x,
                y,
                *vector,
                temperature=self.temperature,
                sample_weight=sample_weight,
                **self.options(variables),
            )
            yield batch_length(x), to_float64(found)
