"""Negative preference optimization: forgetting sequences."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.losses._sequence_loss import SequenceLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class NPOLoss(SequenceLoss):
    """Pushes the likelihood of sequences below that of the model before unlearning.

    Use it to forget a set of sequences where plain gradient ascent destroys the model: the push on
    a sequence fades with how far it has been forgotten. With the negative log-likelihood `NLL` of a
    sequence (summed over its tokens) and the one before unlearning, the value is
    `-(2 / beta) log sigmoid(beta (NLL - NLL_reference))`. To forget and retain in one batch use the
    weighting `kr.weightings.NPO` in the `Unlearn` callback, which has the same gradient.

    Args:
        beta: Float > 0; small values come close to plain gradient ascent. Defaults to `0.1`.
        ignore_id: Integer or `None`, one more token id that does not count, besides those outside
            the classes such as -100. Defaults to `None`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"npo_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with targets of shape `(batch, time + 1)` (token ids and, last, the reference, as
        `kr.data.pack_reference` makes them) and logits of shape `(batch, time, classes)`: the
        reduced loss. Tokens under the Keras mask of the logits do not count.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `beta` is not positive, or, on a call, the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((5,)), keras.layers.Embedding(7, 4),
                              keras.layers.Dense(7)])
    tokens = np.random.default_rng(0).integers(0, 7, (6, 6))
    x, y = tokens[:, :-1], tokens[:, 1:]
    reference = kr.functional.sequence_nll(model, x, y)
    model.compile("adam", kr.losses.NPOLoss(beta=0.1))
    model.fit(x, kr.data.pack_reference(y, reference), verbose=0)
    ```

    Reference:
        Zhang et al., "Negative Preference Optimization: From Catastrophic Collapse to Effective
        Unlearning", COLM 2024, arXiv 2404.05868.

    Deviations:
        The reference likelihoods are computed once and not by a second model in every step.

    Cost:
        One log-softmax; no one-hot array.
    """

    def __init__(
        self,
        beta: float = 0.1,
        *,
        ignore_id: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "npo_loss",
        dtype=None,
    ):
        check_number("beta", beta, exclusive_minimum=0.0)
        super().__init__(ignore_id=ignore_id, reduction=reduction, name=name, dtype=dtype)
        self.beta = beta

    def tokens(self, y_true, y_pred):
        shape, time = tuple(y_true.shape), y_pred.shape[1]
        if len(shape) != 2 or None not in (shape[1], time) and shape[1] != time + 1:
            raise ValueError(
                f"{self.name}: `y_true` must have one column more than the {time} tokens of "
                f"`y_pred`, the reference (`kr.data.pack_reference`), got shape {shape}."
            )
        return y_true[:, :-1]

    def values(self, nll, count, y_true):
        rise = nll - ops.cast(y_true[:, -1], nll.dtype)
        return -2.0 / self.beta * ops.log_sigmoid(self.beta * rise)

    def get_config(self) -> dict:
        return {**super().get_config(), "beta": self.beta}
