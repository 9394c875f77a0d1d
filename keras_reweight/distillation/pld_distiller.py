"""Plackett-Luce distillation with the teacher in the step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.labels import class_ids
from keras_reweight.core.loss_evaluation import keras_mask, reduce_values
from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.distillation.weighted_distiller import WeightedDistiller
from keras_reweight.losses._plackett_luce import as_logits, plackett_luce_losses
from keras_reweight.losses.pld import PLDLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class PLDDistiller(WeightedDistiller):
    """Train a student on the label first and then on the teacher's ranking of the classes.

    Use it to distill a classifier without choosing a weight between crossentropy and divergence.
    The student maximizes the Plackett-Luce likelihood of one ranking, the true class and then the
    others by the logits of the teacher, every position weighted by the teacher's probability of
    the class there; `losses.PLDLoss` has the formula and takes stored logits. `sample_weight`,
    `class_weight` and masks count, metrics see plain labels.

    Args:
        teacher: A built `keras.Model` with one output of shape `(batch, ..., classes)`.
        student: A `keras.Model` with inputs and outputs of the same shapes, to be trained.
        temperature: Float > 0 that divides the logits of the teacher only. Defaults to `1.0`.
        from_logits: Boolean; `False` if both models give probabilities. Defaults to `True`.
        student_loss_weight: Float in `[0, 1]`, share of the loss given to `compile`. Defaults to
            `0.0`.
        name: String, name of the model. Defaults to `"pld_distiller"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` (which needs a loss only if `student_loss_weight > 0`) and
        `fit` with class ids or one-hot labels; `student` is the trained model afterwards.

    Raises:
        TypeError: If `teacher` or `student` is no model or another argument has the wrong type.
        ValueError: If an argument is out of range or the shapes of the models do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = kr.distillation.PLDDistiller(teacher, student)
    distiller.compile("adam", metrics=["accuracy"])
    distiller.fit(np.random.default_rng(0).normal(size=(16, 4)), np.arange(16) % 3, verbose=0)
    ```

    Reference:
        Bassam, Zhu and Bian, "PLD: A Choice-Theoretic List-Wise Knowledge Distillation", NeurIPS
        2025, arXiv 2506.12542.

    Cost:
        One forward pass of the teacher a step, and one sort of the classes.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        temperature: float = 1.0,
        from_logits: bool = True,
        student_loss_weight: float = 0.0,
        name: str = "pld_distiller",
        **kwargs: Any,
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_boolean("from_logits", from_logits)
        super().__init__(
            teacher,
            student,
            distillation_losses=[],
            student_loss_weight=student_loss_weight,
            name=name,
            **kwargs,
        )
        self.temperature = temperature
        self.from_logits = from_logits

    def compile(self, optimizer="adam", loss=None, metrics=None, **kwargs):
        if loss is None:
            if self.student_loss_weight > 0:
                raise ValueError(
                    f"`student_loss_weight`={self.student_loss_weight} needs a `loss` in `compile`."
                )
            # Keras insists on one; with a weight of zero it is never evaluated.
            loss = "mse"
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def distillation_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any):
        teacher = as_logits(self.teacher(x, training=False), self.from_logits)
        student = as_logits(y_pred, self.from_logits)
        losses = plackett_luce_losses(class_ids(y, student), teacher, student, self.temperature)
        mask = keras_mask(y_pred)
        return ops.cast(reduce_values(PLDLoss(), losses, sample_weight, mask), "float32")

    def get_config(self) -> dict:
        config = super().get_config()
        del config["distillation_losses"], config["distillation_loss_weights"]
        return {**config, "temperature": self.temperature, "from_logits": self.from_logits}

    @classmethod
    def from_config(cls, config: dict):
        config = dict(config)
        for name in ("teacher", "student"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)
