"""What a subclass of `keras.distillation.Distiller` needs and Keras keeps private."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from keras.src.backend import set_keras_mask


def compiled_student_loss(distiller: keras.distillation.Distiller) -> Any:
    """The loss (or tree of losses) of the student that `compile` was given."""
    return distiller._student_loss


def compared_outputs(
    distiller: keras.distillation.Distiller, x: Any, y_pred: Any
) -> Callable[[Any], tuple[Any, Any]]:
    """Function from a distillation loss to the outputs of teacher and student that it compares.

    The forward passes of one step are made once, when the first loss asks for them.
    """
    known: dict[bool, Any] = {}

    def features(is_teacher):
        if is_teacher not in known:
            known[is_teacher] = _features(distiller, is_teacher, x, y_pred)
        return known[is_teacher]

    def pair(loss):
        if getattr(loss, "teacher_layer_name", None) is None:
            return features(True)["final_output"], y_pred
        return tuple(
            distiller._get_distillation_loss_features(loss, features(is_teacher), is_teacher)
            for is_teacher in (True, False)
        )

    return pair


def _features(distiller, is_teacher, x, y_pred):
    extractor = (
        distiller._teacher_feature_extractor if is_teacher else distiller._student_feature_extractor
    )
    if extractor is not None:
        # Extractors are made of flat lists of inputs and warn about any other structure.
        return extractor(keras.tree.flatten(x), training=not is_teacher)
    return {"final_output": distiller.teacher(x, training=False) if is_teacher else y_pred}


def reduced_loss(loss: Any, y_true: Any, y_pred: Any, *, sample_weight: Any, mask: Any):
    """A loss or loss function reduced with weights and a mask as `compile` would do it."""
    if not isinstance(loss, keras.losses.Loss):
        loss = _FunctionLoss(loss)
    y_pred = ops.convert_to_tensor(y_pred)
    if mask is not None:
        # A tensor of its own: the mask must not stick to the caller's.
        y_pred = y_pred * ops.ones((), y_pred.dtype)
        set_keras_mask(y_pred, mask)
    value = loss(y_true, y_pred, sample_weight=sample_weight)
    return value if len(value.shape) == 0 else ops.mean(value)


class _FunctionLoss(keras.losses.Loss):
    def __init__(self, function):
        # TensorFlow refuses the name that Keras would make of a private class.
        super().__init__(name="loss_function")
        self.call = function
