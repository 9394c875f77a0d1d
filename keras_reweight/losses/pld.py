"""Plackett-Luce distillation from stored teacher logits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.losses._plackett_luce import as_logits, plackett_luce_losses


@keras.saving.register_keras_serializable(package="keras_reweight")
class PLDLoss(keras.losses.Loss):
    """Distillation as a ranking of the classes: the label first, then as the teacher ranks them.

    Use it in place of crossentropy plus divergence, without a weight between the two, where the
    logits of the teacher are computed beforehand; `distillation.PLDDistiller` runs the teacher in
    the step. With `t` and `s` the logits of teacher and student, `q = softmax(t / temperature)` and
    `pi` the ranking, the loss of a sample is
    `-sum_k q[pi_k] * (s[pi_k] - logsumexp_{l >= k} s[pi_l])`. A sample whose label the teacher
    finds unlikely counts little. Metrics such as accuracy cannot read the packed targets.

    Args:
        temperature: Float > 0 that divides the logits of the teacher only. Defaults to `1.0`.
        from_logits: Boolean; `False` if teacher and student give probabilities, whose logarithms
            are then taken. Defaults to `True`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String or `None`, name of the loss. Defaults to `"pld_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with `y_true` of shape `(batch, ..., 1 + classes)`, the class id and then the outputs
        of the teacher (see `PLDLoss.pack_targets`), and `y_pred` of shape `(batch, ..., classes)`,
        both float: the reduced loss.

    Raises:
        TypeError: If `temperature` is not a number or `from_logits` no boolean.
        ValueError: If `temperature` is not positive, or on a call, if the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    rng = np.random.default_rng(0)
    x, y, teacher_logits = rng.normal(size=(16, 4)), np.arange(16) % 3, rng.normal(size=(16, 3))
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    student.compile("adam", kr.losses.PLDLoss())
    student.fit(x, kr.losses.PLDLoss.pack_targets(y, teacher_logits), verbose=0)
    ```

    Reference:
        Bassam, Zhu and Bian, "PLD: A Choice-Theoretic List-Wise Knowledge Distillation", NeurIPS
        2025, arXiv 2506.12542; Plackett, "The Analysis of Permutations", 1975.

    Deviations:
        Ids outside the classes give a loss of zero. Classes the teacher finds equally likely keep
        the order of their ids.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        from_logits: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "pld_loss",
        dtype: Any = None,
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_boolean("from_logits", from_logits)
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.temperature = temperature
        self.from_logits = from_logits

    @staticmethod
    def pack_targets(y: Any, teacher_outputs: Any) -> np.ndarray:
        """Class ids of shape `(...)` or `(..., 1)` in front of outputs `(..., classes)`."""
        y, teacher_outputs = np.asarray(y), np.asarray(teacher_outputs, "float32")
        if y.shape == teacher_outputs.shape[:-1]:
            y = y[..., None]
        if y.shape != (*teacher_outputs.shape[:-1], 1):
            raise ValueError(
                f"`y` must hold class ids of shape {teacher_outputs.shape[:-1]}, one for each row "
                f"of `teacher_outputs`, got {y.shape}."
            )
        return np.concatenate([y.astype("float32"), teacher_outputs], axis=-1)

    def call(self, y_true, y_pred):
        if len(y_true.shape) != len(y_pred.shape) or y_true.shape[-1] != y_pred.shape[-1] + 1:
            raise ValueError(
                "`y_true` must hold the class id and one output of the teacher for each class, "
                f"shape (..., 1 + {y_pred.shape[-1]}), got shape {tuple(y_true.shape)}."
            )
        ids = ops.cast(y_true[..., 0], "int32")
        teacher, student = y_true[..., 1:], y_pred
        if not self.from_logits:
            teacher, student = as_logits(teacher, False), as_logits(student, False)
        return plackett_luce_losses(ids, teacher, student, self.temperature)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "from_logits": self.from_logits,
        }
