"""InfoNCE that weights queries by how badly they are answered."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.losses._view_pairs import own_candidate_losses, views
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.metric_learning._pairs import valid_pairs


@keras.saving.register_keras_serializable(package="keras_reweight")
class FocalInfoNCELoss(MaskedLoss):
    """Retrieval loss in which queries that are answered already count less.

    Use it to train embeddings of queries and documents. Query `i` is compared with the positives
    and the hard negatives of all queries, `p_i` is the softmax share of its own positive, and

    `l_i = (1 - p_i)^gamma * (-log p_i)`.

    The weight is a constant for the gradient. `gamma=0` is InfoNCE. Labels are not read. Each query
    has a loss of its own; `sample_weight` weights queries, masked rows give no candidates.

    Args:
        gamma: Float >= 0, the exponent of the weight. Defaults to `0.5`.
        temperature: Float > 0, divides the similarities. Defaults to `0.05`.
        normalize: Boolean, whether similarities are cosines, otherwise scalar products. Defaults
            to `True`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"focal_info_nce_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with any labels of shape `(batch,)` and embeddings of shape
        `(batch, 2 + negatives, features)`, the query first, its positive second: the reduced loss.

    Raises:
        TypeError: If a number is of another type or `normalize` not a boolean.
        ValueError: If `gamma` is negative, `temperature` not positive, or, on a call, for other
            shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(5)])
    model.compile("adam", kr.losses.FocalInfoNCELoss(gamma=0.5))
    x = np.random.default_rng(0).normal(size=(8, 3, 4))  # query, positive, one hard negative
    model.fit(x, np.zeros(8), verbose=0)
    ```

    Reference:
        Zhao et al., "KaLM-Embedding-V2: Superior Training Techniques and Data Inspire A Versatile
        Embedding Model", 2025, arXiv 2506.20923, section on focal-style reweighting.

    Deviations:
        The paper does not say whether the weight carries a gradient; here it does not. The online
        mixing of hard negatives is left to the data.
    """

    def __init__(
        self,
        gamma: float = 0.5,
        *,
        temperature: float = 0.05,
        normalize: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "focal_info_nce_loss",
        dtype=None,
    ):
        check_number("gamma", gamma, minimum=0.0)
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_boolean("normalize", normalize)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.gamma = gamma
        self.temperature = temperature
        self.normalize = normalize

    def losses(self, y_true, y_pred, mask):
        stacked = views(y_pred, self.normalize)
        values = own_candidate_losses(
            stacked[:, 0], stacked[:, 1:], valid_pairs(mask), self.temperature
        )
        wrong = -ops.expm1(-ops.maximum(ops.stop_gradient(values), 0.0))
        return ops.power(wrong, self.gamma) * values

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "gamma": self.gamma,
            "temperature": self.temperature,
            "normalize": self.normalize,
        }
