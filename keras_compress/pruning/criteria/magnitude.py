"""The strongest simple criterion."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.pruning.criteria.criterion import Criterion


@keras.saving.register_keras_serializable(package="keras_compress")
class Magnitude(Criterion):
    """Score a weight by its absolute value.

    Needs no data and, together with a global ranking, is hard to beat after fine-tuning:
    `score(w) = |w|`.

    Args:
        None.

    Returns:
        A `Criterion` for `Pruning` and `prune_weights`.

    Raises:
        ValueError: In `scores`, if a weight is NaN.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    scores = kc.pruning.Magnitude().score(np.array([[-2.0, 0.5]], "float32"))
    assert scores.tolist() == [[2.0, 0.5]]
    ```

    Reference:
        Gupta et al., "Is Complexity Required for Neural Network Pruning? A Case Study on Global
        Magnitude Pruning", arXiv 2209.14624.
    """

    def score(self, weight: np.ndarray) -> np.ndarray:
        return np.abs(weight)
