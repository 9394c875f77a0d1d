"""Weights from the number of attack steps a sample survives."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_choice, check_integer, check_number

_KINDS = ("tanh", "sigmoid", "discrete")


def gairat_weights(kappa: Any, num_steps: int, *, shift: float = -1.0, kind: str = "tanh"):
    """Geometry-aware weights of samples in adversarial training.

    Use it in a training loop of your own that attacks samples by projected gradient descent and
    counts, before each of its `num_steps` updates, whether the sample is still classified
    correctly. Samples that fall early are near the decision boundary and count more. The authors
    train with equal weights for the first half.

    With `K = num_steps` and `a_i = shift + 5 (floor(K / 2) - kappa_i) / floor(K / 2)` the weight is
    `(tanh(a_i) + 1) / 2` for `"tanh"`, `sigmoid(a_i)` for `"sigmoid"` and
    `(K + 1 - kappa_i) / (K + 1)` for `"discrete"`; all are divided by their mean.

    Args:
        kappa: Integer or float tensor of shape `(batch,)`, number of steps survived, 0 to
            `num_steps`.
        num_steps: Integer, number of attack steps: at least 2, for `"discrete"` at least 1.
        shift: Float, larger values bring the weights nearer to each other; not used by
            `"discrete"`. Defaults to `-1.0`.
        kind: `"tanh"`, `"sigmoid"` or `"discrete"`. Defaults to `"tanh"`.

    Returns:
        Float32 tensor of shape `(batch,)` with mean one, without gradient.

    Raises:
        TypeError: If `num_steps` is not an integer or `shift` not a number.
        ValueError: If `num_steps` is too small or `kind` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.functional.gairat_weights(np.array([0, 3, 5, 8, 10]), num_steps=10)
    ```

    Reference:
        Zhang et al., "Geometry-aware Instance-reweighted Adversarial Training", ICLR 2021,
        arXiv 2010.01736 (tanh; the other kinds are those of the authors' code).

    Deviations:
        Computed from logarithms: weights that would all underflow to zero keep their proportions.
        Rescaling the logits is known to break the robustness that this weighting appears to give;
        evaluate with such attacks.
    """
    check_choice("kind", kind, _KINDS)
    check_integer("num_steps", num_steps, minimum=1 if kind == "discrete" else 2)
    check_number("shift", shift)
    kappa = ops.stop_gradient(ops.cast(ops.convert_to_tensor(kappa), "float32"))
    if kind == "discrete":
        weights = num_steps + 1.0 - kappa
    else:
        half = float(num_steps // 2)
        score = shift + 5.0 * (half - kappa) / half
        # (tanh(a) + 1) / 2 is sigmoid(2 a).
        logarithm = -ops.softplus(-2.0 * score if kind == "tanh" else -score)
        weights = ops.exp(logarithm - ops.max(logarithm))
    return weights / ops.mean(weights)
