"""How differently two groups of samples pull at a classifier."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_number


def gradient_variance_gap(
    features: Any,
    errors: Any,
    shifted_features: Any,
    shifted_errors: Any,
    *,
    norm_weight: float = 1.0,
):
    """Difference of the gradient variances of a last layer on samples and on shifted ones.

    For a layer `z = a W + b` sample `i` has the gradients `a_i e_i^T` and `e_i` with
    `e = d loss / d z`, which is `softmax(z) - y` for cross-entropy. For the kernel and the bias,
    each entry's variance `v` over the samples and `s` over the shifted samples, both around the
    mean gradient of the samples, give

    `mean((v - s)^2) / 4 + norm_weight * mean(g_shifted^2)`,

    means over entries, in the second term over shifted samples as well; both parts are added up. A
    penalty of domain generalization, made of four matrix products and differentiable by all of its
    arguments: no gradients of single samples are computed. `kr.sharpness.UDIM` trains with it.

    Args:
        features: Float tensor of shape `(batch, features)`, the inputs `a` of the layer.
        errors: Float tensor of shape `(batch, classes)`, the gradients `e` of the samples' losses.
        shifted_features: Float tensor of shape `(shifted, features)`, of the shifted samples.
        shifted_errors: Float tensor of shape `(shifted, classes)`, of the shifted samples.
        norm_weight: Float >= 0, weight of the second term. Defaults to `1.0`.

    Returns:
        Float scalar tensor, >= 0.

    Raises:
        TypeError: If `norm_weight` is not a number.
        ValueError: If it is negative, or the shapes do not fit each other.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    draws = np.random.default_rng(0)
    a, b = draws.normal(size=(2, 8, 5)).astype("float32")
    e, f = draws.normal(size=(2, 8, 3)).astype("float32")
    kr.functional.gradient_variance_gap(a, e, b, f)
    ```

    Reference:
        Shin et al., "Unknown Domain Inconsistency Minimization for Domain Generalization", ICLR
        2024, the loss of its code.

    Deviations:
        The code differentiates sample by sample, with BackPACK.
    """
    check_number("norm_weight", norm_weight, minimum=0.0)
    parts = (features, errors, shifted_features, shifted_errors)
    given = [ops.convert_to_tensor(part) for part in parts]
    dtype = keras.backend.result_type("float32", *(part.dtype for part in given))
    features, errors, shifted_features, shifted_errors = (ops.cast(one, dtype) for one in given)
    _check_shapes(features, errors, shifted_features, shifted_errors)
    total = 0.0
    # The bias is a kernel for a feature of one.
    for a, s in ((features, shifted_features), (None, None)):
        mean, square = _moments(a, errors)
        shifted_mean, shifted_square = _moments(s, shifted_errors)
        # Both variances have the same squared mean of the samples in them, once with a factor.
        gap = (square - mean * mean) - (shifted_square - 2.0 * mean * shifted_mean + mean * mean)
        total = total + ops.mean(gap * gap) / 4.0 + norm_weight * ops.mean(shifted_square)
    return total


def _moments(features, errors):
    """Mean over samples of the gradient and of its squares, entry by entry."""
    if features is None:
        return ops.mean(errors, axis=0), ops.mean(errors * errors, axis=0)
    count = ops.cast(ops.shape(features)[0], features.dtype)
    rows, squares = ops.transpose(features), ops.transpose(features * features)
    return ops.matmul(rows, errors) / count, ops.matmul(squares, errors * errors) / count


def _check_shapes(features, errors, shifted_features, shifted_errors):
    parts = {
        "features": features,
        "errors": errors,
        "shifted_features": shifted_features,
        "shifted_errors": shifted_errors,
    }
    shapes = {name: tuple(part.shape) for name, part in parts.items()}
    a, e, s, f = shapes.values()
    flat = all(len(shape) == 2 for shape in shapes.values())
    if not flat or a[0] != e[0] or s[0] != f[0] or a[1] != s[1] or e[1] != f[1]:
        raise ValueError(
            "`features` and `errors` must have the shapes (batch, features) and (batch, classes), "
            f"the shifted ones the same but for the batch, got {shapes}."
        )
