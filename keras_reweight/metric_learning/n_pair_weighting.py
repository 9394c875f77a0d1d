"""Softmax weights of positives against negatives."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.metric_learning._pairs import count, log_sum_exp, only
from keras_reweight.metric_learning.pair_weighting import PairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class NPairWeighting(PairWeighting):
    """Cross-entropy of each positive among the negatives of its anchor.

    Use it for contrastive learning with labels. With scores `s = S / temperature`,

    `l_i = mean over p in P of log(exp(s_ip) + Z_ip) - s_ip`,

    where `Z_ip` sums `exp(s_in)` over the negatives (`contrast="negatives"`, the N-pair loss), or
    over the negatives and the other positives (`contrast="all"`, supervised contrastive learning).
    With one positive an anchor both are InfoNCE.

    Args:
        temperature: Float > 0, small values look at the hardest pairs only. Defaults to `0.1`.
        contrast: `"negatives"` or `"all"`, see above. Defaults to `"negatives"`.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: float32 weights
        of that shape.

    Raises:
        TypeError: If `temperature` is not a number.
        ValueError: If `temperature` is not positive or `contrast` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    similarity = np.array([[1.0, 0.8, 0.4], [0.8, 1.0, 0.6], [0.4, 0.6, 1.0]], "float32")
    weighting = kr.metric_learning.NPairWeighting(0.5)
    weights = kr.functional.pair_weights(similarity, np.array([0, 0, 1]), weighting=weighting)
    ```

    Reference:
        Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", NeurIPS 2016;
        Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, arXiv 2004.11362,
        equation 2.

    Deviations:
        With `"all"`, a positive above its fair share is pushed away; its weight is the absolute
        value of that slope.
    """

    def __init__(self, temperature: float = 0.1, *, contrast: str = "negatives"):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_choice("contrast", contrast, ("negatives", "all"))
        self.temperature = temperature
        self.contrast = contrast

    def _totals(self, scores, positives, negatives):
        """`log(exp(s_ip) + Z_ip)`, shape `(batch, batch)` or `(batch, 1)`."""
        if self.contrast == "all":
            rivals = ops.logical_or(positives, negatives)
            return ops.expand_dims(log_sum_exp(scores, rivals), axis=-1)
        push = ops.expand_dims(log_sum_exp(scores, negatives), axis=-1)
        return ops.logaddexp(scores, push)

    def losses(self, similarity, positives, negatives):
        scores = similarity / self.temperature
        gaps = only(self._totals(scores, positives, negatives) - scores, positives)
        return ops.sum(gaps, axis=-1) / count(positives, scores.dtype)

    def weights(self, similarity, positives, negatives):
        scores = similarity / self.temperature
        totals = self._totals(scores, positives, negatives)
        number = ops.expand_dims(count(positives, scores.dtype), axis=-1)
        own = only(ops.exp(ops.minimum(scores - totals, 0.0)), positives)
        if self.contrast == "all":
            some = ops.any(positives, axis=-1, keepdims=True)
            push = only(ops.exp(ops.minimum(scores - totals, 0.0)), negatives)
            pull = only(ops.abs(own - 1.0 / number), positives)
            return only(pull + push, some) / self.temperature
        # A negative gets exp(s_in) times the sum of exp(-total) over the positives.
        largest = log_sum_exp(-totals, positives)
        push = ops.exp(ops.minimum(scores + ops.expand_dims(largest, axis=-1), 30.0))
        pull = only(1.0 - own, positives)
        return (pull + only(push, negatives)) / (number * self.temperature)

    def get_config(self) -> dict:
        return {"temperature": self.temperature, "contrast": self.contrast}
