"""How much the labels should count beside a teacher, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.validation import check_boolean, check_number


def optimal_distillation_weight(
    y_true: Any,
    label_prediction: Any,
    teacher_prediction: Any,
    *,
    sample_weight: Any = None,
    clip: bool = True,
    fallback: float = 1.0,
) -> float:
    """Weight of the labels that minimizes the validation error of a mixture of two models.

    Use it in self-distillation, where a student is trained on
    `alpha * labels + (1 - alpha) * teacher`: without labels every generation is more regularized
    than the last one, with too many of them nothing is gained. Of the predictions `F1` of a model
    trained on the labels and `F0` of one trained on the teacher alone, `alpha * F1 + (1 - alpha) *
    F0` is closest to `y` at `alpha = <F1 - F0, y - F0> / |F1 - F0|^2`. For models that are linear
    in their targets (kernel ridge regression) that is the student itself.

    Args:
        y_true: Float array of shape `(samples, ...)`, validation targets.
        label_prediction: Float array of the shape of `y_true`, `F1`.
        teacher_prediction: Float array of the shape of `y_true`, `F0`.
        sample_weight: Float array of shape `(samples,)`, >= 0, or `None`. Defaults to `None`.
        clip: Boolean, whether the result is confined to `[0, 1]`. Defaults to `True`.
        fallback: Float, the result where `F1` and `F0` are equal. Defaults to `1.0`.

    Returns:
        Float, the weight of the labels, computed in float64.

    Raises:
        TypeError: If `clip` is no boolean, `fallback` no number, or an array holds no numbers.
        ValueError: If the arrays do not fit each other or are not finite, or a weight is negative.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    y = np.array([1.0, 2.0, 3.0])
    alpha = kr.functional.optimal_distillation_weight(y, y + [0.3, -0.2, 0.1], 0.8 * y)
    ```

    Reference:
        Borup and Andersen, "Even your Teacher Needs Guidance: Ground-Truth Targets Dampen
        Regularization Imposed by Self-Distillation", NeurIPS 2021, arXiv 2102.13088.

    Deviations:
        The paper searches a grid or solves for kernel ridge regression; the least-squares form for
        any two predictions is ours and agrees with the grid on the authors' toy problem.
    """
    check_boolean("clip", clip)
    check_number("fallback", fallback)
    target = _array("y_true", y_true)
    labels = _array("label_prediction", label_prediction, target.shape)
    teacher = _array("teacher_prediction", teacher_prediction, target.shape)
    weight = np.ones(target.shape)
    if sample_weight is not None:
        given = _array("sample_weight", sample_weight, target.shape[:1])
        if (given < 0).any():
            raise ValueError(f"`sample_weight` must be >= 0, got {float(given.min())!r}.")
        weight = weight * given.reshape(-1, *[1] * (target.ndim - 1))
    difference = labels - teacher
    total = np.sum(weight * difference**2)
    if total == 0:
        return float(fallback)
    found = float(np.sum(weight * difference * (target - teacher)) / total)
    return min(max(found, 0.0), 1.0) if clip else found


def _array(name, value, shape=None):
    try:
        array = np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {value!r}.") from error
    if not array.ndim or not array.size or (shape is not None and array.shape != shape):
        wanted = "(samples, ...)" if shape is None else shape
        raise ValueError(f"`{name}` must have shape {wanted}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite, got {array[~np.isfinite(array)][0]!r}.")
    return array
