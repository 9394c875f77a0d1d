"""InfoNCE of two views."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.losses._view_pairs import own_candidate_losses, views
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.metric_learning._pairs import own_pairs, pair_masks, valid_pairs


@keras.saving.register_keras_serializable(package="keras_reweight")
class InfoNCELoss(MaskedLoss):
    """Two views of a sample find each other among the views of the batch.

    Use it for self-supervised learning and for pairs such as image and caption. The loss of row `i`
    is `-log softmax` of `z1_i . z2_i / temperature` among all `z1_i . z2_j`; `symmetric` averages
    it with the other direction. Labels are not needed; with `exclude_same_label` rows of the same
    label are no negatives of each other (repeated captions, known false negatives). With labels and
    one view use `NPairLoss`.

    Each row has a loss of its own; `sample_weight` weights rows, masked rows are no negatives.

    Args:
        temperature: Float > 0, small values look at the hardest negatives only. Defaults to `0.1`.
        symmetric: Boolean, whether both views are queries. Defaults to `True`.
        normalize: Boolean, whether similarities are cosines, otherwise scalar products. Defaults
            to `True`.
        exclude_same_label: Boolean, whether `y_true` is read, see above. Defaults to `False`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"info_nce_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with any labels of shape `(batch,)` and stacked views of shape
        `(batch, 2, features)`: the reduced loss.

    Raises:
        TypeError: If `temperature` is not a number or another argument not a boolean.
        ValueError: If `temperature` is not positive, or, on a call, for other shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2, 4)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.InfoNCELoss(temperature=0.2))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 1, 4)) + 0.1 * rng.normal(size=(8, 2, 4))
    model.fit(x, np.zeros(8), verbose=0)
    ```

    Reference:
        van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding",
        2018, arXiv 1807.03748, equation 4; symmetric: Radford et al., arXiv 2103.00020.

    Deviations:
        Views of one side are compared with those of the other only; SimCLR compares all of them.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        symmetric: bool = True,
        normalize: bool = True,
        exclude_same_label: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "info_nce_loss",
        dtype=None,
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_boolean("symmetric", symmetric)
        check_boolean("normalize", normalize)
        check_boolean("exclude_same_label", exclude_same_label)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = temperature
        self.symmetric = symmetric
        self.normalize = normalize
        self.exclude_same_label = exclude_same_label

    def losses(self, y_true, y_pred, mask):
        both = views(y_pred, self.normalize, number=2)
        kept = valid_pairs(mask)
        if self.exclude_same_label:
            _, others = pair_masks(y_true, mask)
            kept = ops.logical_or(others, ops.logical_and(kept, own_pairs(mask)))
        values = own_candidate_losses(both[:, 0], both[:, 1:], kept, self.temperature)
        if not self.symmetric:
            return values
        return 0.5 * (
            values + own_candidate_losses(both[:, 1], both[:, :1], kept, self.temperature)
        )

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "temperature": self.temperature,
            "symmetric": self.symmetric,
            "normalize": self.normalize,
            "exclude_same_label": self.exclude_same_label,
        }
