"""The best point on the line from a model to a patched one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from keras_reweight.core.validation import check_built, check_number
from keras_reweight.editing.interpolation_choice import InterpolationChoice
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.patched import patched
from keras_reweight.signatures.signature_patcher import check_fits


def select_interpolation(
    model: keras.Model,
    patch: Patch,
    *,
    score: Callable[[keras.Model], float],
    constraint: Callable[[keras.Model], float] | None = None,
    tolerance: float = 0.001,
    alphas: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
) -> InterpolationChoice:
    """Measure a model at several strengths of a patch, and choose the best one.

    Use it for every change of weights that buys one thing with another: fine-tuning an
    adversarially trained model on clean data, editing, merging. Of the strengths (0 is always
    among them) at which `constraint` is at least its value at 0 minus `tolerance`, the one with the
    highest `score` is chosen, the smallest of equal ones. Choose on data that are not used for
    reporting.

    Args:
        model: A built `keras.Model`; left bit for bit as it was.
        patch: `Patch` for `model`, such as fine-tuned minus present weights.
        score: Function of the patched model that gives a number to maximize.
        constraint: Function of the patched model that gives a number which may not fall, such as
            robust accuracy. Defaults to `None`: no constraint.
        tolerance: Float >= 0, how much it may fall all the same. Defaults to `0.001`, a tenth of a
            point of accuracy.
        alphas: List of floats, the strengths. Defaults to `0.1` to `1.0` in steps of `0.1`.

    Returns:
        An `InterpolationChoice`; its `patch` is `patch` at the chosen strength.

    Raises:
        TypeError: If `model` is no model, `patch` no patch, `score` or `constraint` no function, or
            a number no number.
        ValueError: If `model` is not built, `patch` of another architecture, `alphas` is empty,
            `tolerance` negative, or a measured value not finite.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.layers[0].kernel.assign(np.zeros((2, 1)))
    patch = kr.Patch.from_deltas(model, [(model.layers[0].kernel, np.ones((2, 1)))], name="shift")
    x = np.ones((1, 2), "float32")
    choice = kr.editing.select_interpolation(
        model, patch, score=lambda model: -abs(model.predict(x, verbose=0)[0, 0] - 0.6)
    )
    assert choice.alpha == 0.3
    ```

    Reference:
        Zhu et al., "Improving Generalization of Adversarial Training via Robust Critical
        Fine-Tuning", ICCV 2023, arXiv 2308.02533, equation 8; microsoft/robustlearn, RiFT.

    Deviations:
        The official code interpolates in steps of 0.1, and the choice is left to the reader.

    Cost:
        One call of `score` and of `constraint` for each strength.
    """
    check_built(model, "select_interpolation")
    check_fits(model, patch, getattr(patch, "name", "patch"))
    _check_function("score", score)
    if constraint is not None:
        _check_function("constraint", constraint)
    check_number("tolerance", tolerance, minimum=0.0)
    positions = (0.0, *[alpha for alpha in _checked(alphas) if alpha != 0.0])
    scores, constraints = [], []
    for alpha in positions:
        with patched(model, {"select_interpolation": patch}, alpha):
            scores.append(_number("score", score(model)))
            if constraint is not None:
                constraints.append(_number("constraint", constraint(model)))
    allowed = [
        index
        for index in range(len(positions))
        if not constraints or constraints[index] >= constraints[0] - tolerance
    ]
    best = min(allowed, key=lambda index: (-scores[index], abs(positions[index])))
    return InterpolationChoice(
        positions[best],
        patch * positions[best],
        positions,
        tuple(scores),
        tuple(constraints) if constraint is not None else None,
    )


def _checked(alphas):
    if not isinstance(alphas, (list, tuple)):
        raise TypeError(f"`alphas` must be a list of numbers, got {alphas!r}.")
    if not alphas:
        raise ValueError(f"`alphas` is empty, got {alphas!r}.")
    for alpha in alphas:
        check_number("alphas", alpha)
    return [float(alpha) for alpha in alphas]


def _check_function(argument, value):
    if not callable(value):
        raise TypeError(f"`{argument}` must be a function of the model, got {value!r}.")


def _number(argument, value):
    check_number(f"{argument}(model)", value)
    return float(value)
