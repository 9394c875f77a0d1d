"""Robust critical fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_built
from keras_reweight.editing.fine_tune_only import fine_tune_only
from keras_reweight.editing.interpolation_choice import InterpolationChoice
from keras_reweight.editing.module_criticality import module_criticality
from keras_reweight.editing.select_interpolation import select_interpolation
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_selection import own_weights, weight_owners
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


def rift(
    model: keras.Model,
    fit: Callable[[keras.Model], Any],
    *,
    score: Callable[[keras.Model], float],
    constraint: Callable[[keras.Model], float] | None = None,
    adversarial: Any = None,
    layers: Any = None,
    tolerance: float = 0.001,
    alphas: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
) -> InterpolationChoice:
    """Robust critical fine-tuning: win clean accuracy back without losing robustness.

    For a model that was trained adversarially (or otherwise to be robust) and lost clean accuracy:

    1. `module_criticality` on adversarial examples finds the kernel whose perturbation costs the
       least robustness (skipped if you name the `layers`);
    2. only the layer of that kernel is trained on clean data, by your `fit`;
    3. `select_interpolation` goes back towards the robust weights until the constraint holds.

    The model is left as it was, except that `fit` compiled it; put the `patch` of the result on it.

    Args:
        model: A built `keras.Model`.
        fit: Function of the model that compiles it and trains it on clean data; all but the chosen
            layers are frozen then. The authors take SGD with a rate of 0.001, momentum 0.9, weight
            decay 0.0005 and 10 epochs.
        score: Function of the model that gives a number to maximize, such as clean accuracy.
        constraint: Function of the model that gives a number which may not fall, such as robust
            accuracy. Defaults to `None`: no constraint.
        adversarial: `(x, y)` of arrays of shape `(samples, ...)` and any numeric dtype, or batches,
            for `module_criticality` with the compiled loss. Defaults to `None`, if `layers` is
            given.
        layers: Layers to fine-tune, as for `fine_tune_only`. Defaults to `None`: the layer with the
            least critical kernel.
        tolerance: Float >= 0, as for `select_interpolation`. Defaults to `0.001`.
        alphas: List of floats, as for `select_interpolation`. Defaults to `0.1` to `1.0` in steps
            of `0.1`.

    Returns:
        An `InterpolationChoice`; the `patch` is called `"rift"`, its `paths` say which weights it
        changes.

    Raises:
        TypeError: If `model` is no model, or `fit`, `score` or `constraint` no function.
        ValueError: If neither or both of `adversarial` and `layers` are given, if `fit` changes no
            weight, or as for the three steps.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(1, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    y, attacked = x[:, :1], x + 0.1

    def error(x):
        return lambda model: -float(np.mean((keras.ops.convert_to_numpy(model(x)) - y) ** 2))

    choice = kr.editing.rift(
        model,
        lambda model: (model.compile("sgd", "mse"), model.fit(x, y, verbose=0)),
        score=error(x),
        constraint=error(attacked),
        layers="hidden",
        alphas=(0.5, 1.0),
    )
    kr.SignaturePatcher(model).apply(choice.patch)
    ```

    Reference:
        Zhu et al., "Improving Generalization of Adversarial Training via Robust Critical
        Fine-Tuning", ICCV 2023, arXiv 2308.02533, algorithm 1; microsoft/robustlearn, RiFT.

    Deviations:
        The official code fine-tunes with batch normalization in training mode everywhere; here
        the statistics of frozen layers stay. Its README advises to prefer layers in the middle;
        name them with `layers`.

    Cost:
        That of `module_criticality`, of `fit`, and of `score` and `constraint` for each strength.
    """
    check_built(model, "rift")
    for argument, value in (("fit", fit), ("score", score), ("constraint", constraint)):
        if not (callable(value) or (value is None and argument == "constraint")):
            raise TypeError(f"`{argument}` must be a function of the model, got {value!r}.")
    if (adversarial is None) == (layers is None):
        raise ValueError(
            "Pass either `adversarial`, data to find the least critical layer on, or `layers`; got "
            f"{'neither' if layers is None else 'both'}."
        )
    if layers is None:
        criticality = module_criticality(model, adversarial)
        layers = _owner(model, min(criticality, key=criticality.__getitem__))
    start = WeightSnapshot(model)
    try:
        with fine_tune_only(model, layers):
            fit(model)
        patch = _difference(model, start)
    finally:
        start.restore(model)
    return select_interpolation(
        model, patch, score=score, constraint=constraint, tolerance=tolerance, alphas=alphas
    )


def _owner(model, path):
    paths = [spec.path for spec in Architecture.of(model)]
    variable = model.weights[paths.index(path)]
    return next(
        owner
        for owner in weight_owners(model)
        if any(variable is weight for weight in own_weights(owner))
    )


def _difference(model, start):
    """The patch from `start` to the present weights."""
    deltas = []
    for index, array in read_weights(model).items():
        before = start.arrays[index]
        if start.architecture[index].is_float and array.tobytes() != before.tobytes():
            delta = array.astype(np.float64) - before.astype(np.float64)
            deltas.append((model.weights[index], delta))
    if not deltas:
        raise ValueError("`fit` changed no weight: it must compile and train the model it gets.")
    return Patch.from_deltas(model, deltas, name="rift", kind="fine_tuning")
