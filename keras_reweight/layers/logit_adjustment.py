"""Logits of a trained model moved from one class distribution to balanced classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts
from keras_reweight.core.validation import check_boolean, check_number

# Smallest probability whose logarithm is taken.
_SMALLEST = 1e-7


@keras.saving.register_keras_serializable(package="keras_reweight")
class LogitAdjustment(keras.layers.Layer):
    """Takes the class frequencies of the training data out of the logits.

    Put it behind a model that was trained with plain cross-entropy on long-tailed classes and is
    used where every class counts the same: nothing is trained again. The output is
    `z_c - log(pi_c^tau + epsilon)` with the shares `pi_c` of the classes. Choose `tau` on
    validation data. Not behind a model trained with `BalancedSoftmaxLoss` or `LogitAdjustedLoss`,
    whose logits are adjusted already.

    Args:
        class_counts: List of training samples per class, or any positive numbers in their
            proportion, such as prior probabilities.
        tau: Float >= 0, strength of the adjustment. Defaults to `1.0`.
        epsilon: Float >= 0, added to `pi^tau`. Defaults to `1e-12`.
        from_logits: Boolean; `False` for inputs that are probabilities, whose logarithm is then
            taken. Defaults to `True`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Returns:
        Called with logits of shape `(batch, ..., classes)`: logits of the same shape.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or the inputs have another number of
            classes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    balanced = keras.Sequential([model, kr.layers.LogitAdjustment([1000, 100, 10])])
    classes = balanced.predict(np.ones((2, 4)), verbose=0).argmax(axis=-1)
    ```

    Reference:
        Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, arXiv 2007.07314,
        equation 9.

    Deviations:
        `epsilon` is that of the official code; the paper has none.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        tau: float = 1.0,
        epsilon: float = 1e-12,
        from_logits: bool = True,
        **kwargs: Any,
    ):
        check_class_counts("class_counts", class_counts)
        check_number("tau", tau, minimum=0.0)
        check_number("epsilon", epsilon, minimum=0.0)
        check_boolean("from_logits", from_logits)
        super().__init__(**kwargs)
        self.class_counts = class_counts
        self.tau = tau
        self.epsilon = epsilon
        self.from_logits = from_logits
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[-1] != len(self.class_counts):
            raise ValueError(
                f"`class_counts` has {len(self.class_counts)} classes ({self.class_counts!r}), but "
                f"the inputs of shape {tuple(input_shape)} have {input_shape[-1]} on their last "
                "axis."
            )
        self.built = True

    def call(self, inputs):
        if not self.from_logits:
            inputs = ops.log(ops.maximum(inputs, _SMALLEST))
        counts = np.asarray(self.class_counts, "float64")
        prior = np.log((counts / counts.sum()) ** self.tau + self.epsilon)
        return inputs - ops.convert_to_tensor(prior, dtype=inputs.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "class_counts": np.asarray(self.class_counts).tolist(),
            "tau": self.tau,
            "epsilon": self.epsilon,
            "from_logits": self.from_logits,
        }
