"""N-pair and supervised contrastive loss."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.losses._base_pair_loss import BasePairLoss
from keras_reweight.metric_learning._pairs import SIMILARITIES
from keras_reweight.metric_learning.n_pair_weighting import NPairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class NPairLoss(BasePairLoss):
    """Each positive named among the negatives of its anchor.

    Use it for contrastive learning with labels; for two views of unlabeled samples there is
    `InfoNCELoss`. With scores `s = S / temperature`, the loss of an anchor is the mean over its
    positives of `log(exp(s_ip) + Z_ip) - s_ip`, where `Z_ip` sums `exp(s)` over its negatives
    (`contrast="negatives"`, the N-pair loss) or over all its other partners (`contrast="all"`,
    supervised contrastive learning). Anchors without a positive have no loss.

    A batch needs several samples of several classes: `kr.data.ClassBalancedBatches`. Each sample
    is an anchor with a loss of its own; `sample_weight` weights anchors, masked samples are no
    partners either.

    Args:
        temperature: Float > 0, small values look at the hardest pairs only. Defaults to `0.1`.
        contrast: `"negatives"` or `"all"`, see above. Defaults to `"negatives"`.
        similarity: `"cosine"`, `"dot"` or `"euclidean"`, the negative distance. Defaults to
            `"cosine"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"n_pair_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If `temperature` is not a number.
        ValueError: If `temperature` is not positive, or `contrast` or `similarity` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.NPairLoss(contrast="all"))
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", NeurIPS 2016;
        Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, arXiv 2004.11362,
        equation 2.

    Deviations:
        The N-pair paper compares one pair of each class by scalar products (`similarity="dot"`,
        `temperature=1.0`) and penalizes long embeddings; cosines need no penalty.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        contrast: str = "negatives",
        similarity: str = "cosine",
        reduction: str | None = "sum_over_batch_size",
        name: str = "n_pair_loss",
        dtype=None,
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_choice("contrast", contrast, ("negatives", "all"))
        check_choice("similarity", similarity, SIMILARITIES)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = temperature
        self.contrast = contrast
        self.similarity = similarity

    def pair_weighting(self):
        return NPairWeighting(self.temperature, contrast=self.contrast)

    def similarity_kind(self):
        return self.similarity

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "temperature": self.temperature,
            "contrast": self.contrast,
            "similarity": self.similarity,
        }
