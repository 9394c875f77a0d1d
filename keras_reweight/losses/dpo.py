"""Direct preference optimization."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class DPOLoss(keras.losses.Loss):
    """Preference loss of pairs of answers, from their log-probabilities.

    Use it to train a sequence model on pairs (chosen, rejected) without a reward model. The model
    gives the summed log-probabilities of both answers
    (`kr.functional.sequence_log_prob`), the targets hold those of the model before training, which
    are computed once. With `z` the log-ratio of the chosen answer minus that of the rejected one,
    the value is `-(1 - e) log sigmoid(beta z) - e log sigmoid(-beta z)`, `e` being the label
    smoothing. `RPOLoss` keeps the chosen answers from becoming less likely.

    Args:
        beta: Float > 0, how strongly the model is held to its reference. Defaults to `0.1`.
        label_smoothing: Float in `[0, 0.5)`, share of pairs believed to be the wrong way round.
            Defaults to `0.0`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"dpo_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with reference log-probabilities of shape `(batch, 2)`, chosen first, and those of
        the model of shape `(batch, 2)`: the reduced loss. Further columns of the targets are not
        read. One weight per pair is one `sample_weight`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of its range, or, on a call, the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    class PairScorer(keras.Model):
        def __init__(self):
            super().__init__()
            self.embed, self.head = keras.layers.Embedding(7, 4), keras.layers.Dense(7)

        def call(self, pairs):
            scores = [
                kr.functional.sequence_log_prob(self.head(self.embed(t[:, :-1])), t[:, 1:])
                for t in (pairs[:, 0], pairs[:, 1])
            ]
            return keras.ops.stack(scores, axis=-1)

    model = PairScorer()
    pairs = np.random.default_rng(0).integers(0, 7, (8, 2, 5))
    reference = model.predict(pairs, verbose=0)
    model.compile("adam", kr.losses.DPOLoss(beta=0.1))
    model.fit(pairs, reference, verbose=0)
    ```

    Reference:
        Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a Reward
        Model", NeurIPS 2023, arXiv 2305.18290, equation 7.

    Cost:
        A few operations on `(batch, 2)` values; no second model in the step.
    """

    def __init__(
        self,
        beta: float = 0.1,
        *,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dpo_loss",
        dtype=None,
    ):
        check_number("beta", beta, exclusive_minimum=0.0)
        check_number("label_smoothing", label_smoothing, minimum=0.0, exclusive_maximum=0.5)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.beta = beta
        self.label_smoothing = label_smoothing

    def check_pairs(self, y_true: Any, y_pred: Any, columns: int = 2) -> None:
        """Raise unless there are two predictions and at least `columns` targets per pair."""
        found, targets = tuple(y_pred.shape), tuple(y_true.shape)
        if len(found) != 2 or found[-1] != 2:
            raise ValueError(
                f"{self.name}: `y_pred` must hold log-probabilities of shape (batch, 2), chosen "
                f"first, got shape {found}."
            )
        if len(targets) != 2 or targets[-1] is None or targets[-1] < columns:
            raise ValueError(
                f"{self.name}: `y_true` must hold at least {columns} columns per pair, got shape "
                f"{targets}."
            )

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        self.check_pairs(y_true, y_pred)
        ratios = y_pred - ops.cast(y_true[:, :2], y_pred.dtype)
        margin = self.beta * (ratios[:, 0] - ratios[:, 1])
        smoothing = self.label_smoothing
        right, wrong = ops.log_sigmoid(margin), ops.log_sigmoid(-margin)
        return -(1.0 - smoothing) * right - smoothing * wrong

    def get_config(self) -> dict:
        config = super().get_config()
        return {**config, "beta": self.beta, "label_smoothing": self.label_smoothing}
