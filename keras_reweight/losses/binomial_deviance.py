"""Binomial deviance loss of labeled pairs."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.losses._base_pair_loss import BasePairLoss
from keras_reweight.metric_learning._pairs import SIMILARITIES
from keras_reweight.metric_learning.binomial_deviance_weighting import BinomialDevianceWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class BinomialDevianceLoss(BasePairLoss):
    """A logistic loss of each pair, positives and negatives averaged apart.

    Use it where each pair is to count by itself, whatever the other pairs of its anchor are:
    `l_i = mean_P log(1 + exp(alpha (base - S_ij))) + mean_N log(1 + exp(beta (S_ij - base)))`.

    A batch needs several samples of several classes: `kr.data.ClassBalancedBatches`. Each sample
    is an anchor with a loss of its own; `sample_weight` weights anchors, masked samples are no
    partners either.

    Args:
        alpha: Float > 0, sharpness for positives. Defaults to `2.0`.
        beta: Float > 0, sharpness for negatives. Defaults to `50.0`.
        base: Float, the similarity that divides easy from hard. Defaults to `0.5`.
        similarity: `"cosine"`, `"dot"` or `"euclidean"`, the negative distance. Defaults to
            `"cosine"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"binomial_deviance_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If a number is of another type.
        ValueError: If `alpha` or `beta` is not positive or `similarity` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.BinomialDevianceLoss(beta=25.0))
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Yi, Lei and Li, "Deep Metric Learning for Practical Person Re-Identification", 2014, arXiv
        1407.4979; in terms of pair weights Wang et al., arXiv 1904.06627.

    """

    def __init__(
        self,
        alpha: float = 2.0,
        *,
        beta: float = 50.0,
        base: float = 0.5,
        similarity: str = "cosine",
        reduction: str | None = "sum_over_batch_size",
        name: str = "binomial_deviance_loss",
        dtype=None,
    ):
        check_number("alpha", alpha, exclusive_minimum=0.0)
        check_number("beta", beta, exclusive_minimum=0.0)
        check_number("base", base)
        check_choice("similarity", similarity, SIMILARITIES)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.alpha = alpha
        self.beta = beta
        self.base = base
        self.similarity = similarity

    def pair_weighting(self):
        return BinomialDevianceWeighting(self.alpha, beta=self.beta, base=self.base)

    def similarity_kind(self):
        return self.similarity

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "alpha": self.alpha,
            "beta": self.beta,
            "base": self.base,
            "similarity": self.similarity,
        }
