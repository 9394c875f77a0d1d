"""AUC margin loss in closed form."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.binary_labels import binary_columns
from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.losses._auc_objective import (
    best_dual,
    class_statistics,
    objective,
    prior_factor,
)
from keras_reweight.losses.batch_loss import BatchLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class AUCMarginLoss(BatchLoss):
    """Squared surrogate of the area under the ROC curve that stops pushing at a margin.

    Use it for binary or multi-label problems with few positives that are judged by their AUC,
    after or instead of cross-entropy, with any optimizer and with batches that hold both classes
    (`kr.data.BalancedBatches`). For scores `h` the loss is

    `F = var_pos(h) + var_neg(h) + relu(margin + mean_neg(h) - mean_pos(h))^2`,

    the closed form of a min-max problem with three auxiliary scalars. While the margin is not
    reached it equals the mean of `(margin - h_i + h_j)^2` over all pairs of a positive and a
    negative, at linear cost. Without positives or without negatives only the variance of the class
    that is there is left. The columns of a multi-label problem are averaged.

    Args:
        margin: Float > 0, wanted distance of the class means. Defaults to `1.0`.
        prior: `None` for `F`; a float in (0, 1), the share `p` of positives in the training set,
            or `"batch"` for that of the batch, for `p (1 - p) F`. Defaults to `None`.
        from_logits: Boolean, whether to apply a sigmoid to `y_pred`. Defaults to `False`.
        reduction: As in `BatchLoss`. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"auc_margin_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with labels 0 or 1 and scores, both of shape `(batch,)`, `(batch, 1)` or
        `(batch, columns)`: a float scalar. `sample_weight` weights samples inside the class means.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or, on a call, the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", kr.losses.AUCMarginLoss(), metrics=[keras.metrics.AUC(num_thresholds=20)])
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    model.fit(kr.data.BalancedBatches(x, x[:, 0] > 1.0, batch_size=8), verbose=0)
    ```

    Reference:
        Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, arXiv 2012.03173.

    Deviations:
        The auxiliary scalars are solved for in each batch instead of trained; `AUCMinMaxLoss` with
        the optimizer `PESG` trains them. The paper weights the class sums by the training set's
        share of positives; here `prior` is a factor of the whole loss, so that a class weighs the
        same however often the batch holds it. LibAUC's `version="v2"` drops samples whose squared
        error is zero and misplaces a bracket of the margin term; neither is copied.
    """

    def __init__(
        self,
        margin: float = 1.0,
        *,
        prior: float | str | None = None,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "auc_margin_loss",
        dtype=None,
    ):
        check_number("margin", margin, exclusive_minimum=0.0)
        if isinstance(prior, str):
            if prior != "batch":
                raise ValueError(f'`prior` must be None, "batch" or a number, got {prior!r}.')
        elif prior is not None:
            check_number("prior", prior, exclusive_minimum=0.0, exclusive_maximum=1.0)
        check_boolean("from_logits", from_logits)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = margin
        self.prior = prior
        self.from_logits = from_logits

    def batch_loss(self, y_true, y_pred, sample_weight):
        labels, scores = self._labels_and_scores(y_true, y_pred)
        statistics = class_statistics(scores, labels, sample_weight)
        dual = self._dual(statistics)
        values = objective(scores, labels, sample_weight, dual, self.margin)
        return ops.mean(prior_factor(self.prior, statistics.rate) * values)

    def _labels_and_scores(self, y_true: Any, y_pred: Any):
        labels, scores = binary_columns(y_true, y_pred)
        return labels, ops.sigmoid(scores) if self.from_logits else scores

    def _dual(self, statistics):
        return best_dual(statistics, self.margin)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "margin": self.margin,
            "prior": self.prior,
            "from_logits": self.from_logits,
        }
