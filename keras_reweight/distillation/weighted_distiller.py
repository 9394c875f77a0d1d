"""Keras' distillation with sample weights and masks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.distillation import (
    compared_outputs,
    compiled_student_loss,
    reduced_loss,
)
from keras_reweight.core.loss_evaluation import keras_mask
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class WeightedDistiller(keras.distillation.Distiller):
    """`keras.distillation.Distiller` that respects `sample_weight`, `class_weight` and masks.

    Use it where Keras' distiller would be used and samples do not count equally: that one ignores
    weights and masks without a word. The loss is
    `w * student_loss + (1 - w) * sum_i v_i * distillation_loss_i` with `w` the
    `student_loss_weight`; every term is reduced with the weights, as `compile` does it. The teacher
    is frozen and gets no gradient.

    Args:
        teacher: A built `keras.Model`, the source of knowledge.
        student: A `keras.Model` with inputs and outputs of the same shapes, to be trained.
        distillation_losses: A `keras.distillation.LogitsDistillation` or `FeatureDistillation`, or
            a list of such; one with a `compute_loss` of its own works until there are weights.
        distillation_loss_weights: List of a float for each distillation loss, or `None` for ones.
            Defaults to `None`.
        student_loss_weight: Float in `[0, 1]`. Defaults to `0.5`.
        name: String, name of the model. Defaults to `"weighted_distiller"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `student` is the trained model afterwards.

    Raises:
        TypeError: If `teacher` or `student` is no model or `student_loss_weight` no number.
        ValueError: If `student_loss_weight` is out of range, the models or numbers of losses do not
            fit, or in `fit`: a distillation loss of your own meets `sample_weight` or a mask.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = kr.distillation.WeightedDistiller(
        teacher, student, distillation_losses=keras.distillation.LogitsDistillation(2.0)
    )
    distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = np.random.default_rng(0).normal(size=(16, 4)), np.arange(16) % 3
    distiller.fit(x, y, sample_weight=np.linspace(0.1, 1.0, 16), verbose=0)
    ```

    Reference:
        Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv
        1503.02531.

    Deviations:
        `LogitsDistillation` takes the divergence of probabilities for `"kl_divergence"` as a string
        as well; Keras 3.15 does so only for an instance of `keras.losses.KLDivergence` and compares
        raw logits otherwise. A weighted sample counts in the distillation terms too.

    Cost:
        One forward pass of the teacher a step; with named layers one more of the student.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        distillation_losses: Any,
        distillation_loss_weights: list[float] | None = None,
        student_loss_weight: float = 0.5,
        name: str = "weighted_distiller",
        **kwargs: Any,
    ):
        for argument, model in (("teacher", teacher), ("student", student)):
            if not isinstance(model, keras.Model):
                raise TypeError(f"`{argument}` must be a keras.Model, got {model!r}.")
        check_number("student_loss_weight", student_loss_weight, minimum=0.0, maximum=1.0)
        for loss in keras.tree.flatten(distillation_losses):
            if not isinstance(loss, keras.distillation.DistillationLoss):
                raise TypeError(
                    "`distillation_losses` must be keras.distillation.DistillationLoss objects, "
                    f"got {loss!r}."
                )
        if distillation_loss_weights is not None:
            if not isinstance(distillation_loss_weights, (list, tuple)):
                raise TypeError(
                    "`distillation_loss_weights` must be a list of numbers, got "
                    f"{distillation_loss_weights!r}."
                )
            if len(distillation_loss_weights) != len(keras.tree.flatten(distillation_losses)):
                raise ValueError(
                    "`distillation_loss_weights` must hold one number for each distillation loss, "
                    f"got {distillation_loss_weights!r}."
                )
            for weight in distillation_loss_weights:
                check_number("distillation_loss_weights", weight)
        super().__init__(
            teacher,
            student,
            distillation_losses,
            distillation_loss_weights=distillation_loss_weights,
            student_loss_weight=student_loss_weight,
            name=name,
            **kwargs,
        )

    def compile(self, optimizer="adam", loss=None, metrics=None, **kwargs):
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)
        self._given_loss = loss

    def get_compile_config(self) -> dict | None:
        config = super().get_compile_config()
        if config:
            config["loss"] = keras.saving.serialize_keras_object(self._given_loss)
        return config

    def compile_from_config(self, config: dict) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y_pred is None:
            y_pred = self(x, training=training)
        student = distillation = ops.zeros((), "float32")
        if self.student_loss_weight > 0 and y is not None:
            student = self._weighted(compiled_student_loss(self), y, y_pred, sample_weight)
        if self.student_loss_weight < 1:
            distillation = self.distillation_loss(x, y, y_pred, sample_weight)
        total = self.student_loss_weight * student + (1 - self.student_loss_weight) * distillation
        self.student_loss_tracker.update_state(student)
        self.distillation_loss_tracker.update_state(distillation)
        self.total_loss_tracker.update_state(total)
        return total

    def distillation_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any):
        """The sum of the distillation terms of a batch, a float scalar."""
        outputs_for = compared_outputs(self, x, y_pred)
        total = ops.zeros((), "float32")
        for loss, weight in zip(
            self.distillation_losses, self.distillation_loss_weights, strict=True
        ):
            teacher, student = outputs_for(loss)
            loss.validate_outputs(teacher, student)
            total = total + weight * self._term(loss, teacher, student, sample_weight)
        return total

    def _term(self, loss, teacher, student, sample_weight):
        teacher = keras.tree.map_structure(ops.stop_gradient, teacher)
        compute = type(loss).compute_loss
        if compute is keras.distillation.FeatureDistillation.compute_loss:
            return self._weighted(loss.loss, teacher, student, sample_weight)
        if compute is keras.distillation.LogitsDistillation.compute_loss:
            return self._weighted(loss.loss, teacher, student, sample_weight, loss.temperature)
        masks = [keras_mask(output) for output in keras.tree.flatten(student)]
        if sample_weight is not None or any(mask is not None for mask in masks):
            raise ValueError(
                f"{type(loss).__name__} reduces its losses itself and would ignore `sample_weight` "
                "and masks; use LogitsDistillation or FeatureDistillation with a loss of your own."
            )
        return loss.compute_loss(teacher, student)

    @staticmethod
    def _weighted(losses, targets, outputs, sample_weight, temperature=None):
        losses, targets = keras.tree.flatten(losses), keras.tree.flatten(targets)
        outputs, weights = keras.tree.flatten(outputs), keras.tree.flatten(sample_weight)
        if len(weights) == 1:
            weights = weights * len(outputs)
        total = ops.zeros((), "float32")
        for loss, target, output, weight in zip(losses, targets, outputs, weights, strict=True):
            if loss is None:
                continue
            mask, factor = keras_mask(output), 1.0
            if temperature is not None:
                target, output = target / temperature, output / temperature
                if _is_divergence(loss):
                    target, output = ops.softmax(target), ops.softmax(output)
                    factor = temperature**2
            value = reduced_loss(loss, target, output, sample_weight=weight, mask=mask)
            total = total + factor * ops.cast(value, "float32")
        return total


def _is_divergence(loss):
    return isinstance(loss, keras.losses.KLDivergence) or loss is keras.losses.kl_divergence
