"""Forgetting by shrinking the weights that the data to forget need most."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_built, check_number
from keras_reweight.editing.weight_importance import WeightImportance
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_selection import select_weights


def selective_dampening(
    model: keras.Model,
    forget: WeightImportance,
    *,
    full: WeightImportance,
    alpha: float = 10.0,
    dampening: float = 1.0,
    exponent: float = 1.0,
    layers: Any = None,
    name: str = "forget",
) -> Patch:
    """Selective synaptic dampening: a model forgets a part of its data without training.

    Weights with `I_forget > alpha * I_full` are more important to the data to forget than to all
    of it; each is multiplied by `min((dampening * I_full / I_forget) ** exponent, 1)`. Gradients of
    two passes are all it takes, and one of them can be stored: after that the training data are not
    needed. The result is a patch, so forgetting can be scaled, saved, and undone bit for bit.

    Use it to remove a class or a group of similar samples. Sweep `alpha` downwards until the data
    are forgotten, and look at the accuracy on what is to stay: below some value it falls fast. With
    `fisher_importance(kind="sample")` a smaller `alpha` is right than with batches.

    Not for single samples scattered over all classes, which share their weights with the rest, nor
    as a proof of deletion; look at `membership_inference`, too.

    Args:
        model: The built `keras.Model` the importances were computed for.
        forget: `WeightImportance` of the data to forget.
        full: `WeightImportance` of all training data, those to forget included; of the same kind
            and batch size.
        alpha: Float > 0, how many times as important a weight must be. Defaults to `10.0`.
        dampening: Float >= 0, lambda of the paper; smaller shrinks more. Defaults to `1.0`.
        exponent: Float > 0. Defaults to `1.0`.
        layers: Names, a `re.Pattern`, a predicate, layers or a list of these, to choose where
            weights may be dampened; `None` takes all weights with an importance.
        name: String, name of the patch. Defaults to `"forget"`.

    Returns:
        A `Patch` of kind `"selective_dampening"`. The share of weights it changes is
        `{path: (patch.delta(path) != 0).mean() for path in patch.paths}`.

    Raises:
        TypeError: If `model`, `forget` or `full` is of another type, or a number is none.
        ValueError: If a number is out of its range, the importances are of another architecture
            than the model or differ in kind, batch size or weights, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
    y = np.argmax(x, axis=1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    full = kr.editing.fisher_importance(model, (x, y), batch_size=12)
    forget = kr.editing.fisher_importance(model, (x[y == 1], y[y == 1]), batch_size=12)
    patch = kr.editing.selective_dampening(model, forget, full=full, alpha=1.5)
    with patch.patched(model):
        logits = model.predict(x, verbose=0)
    ```

    Reference:
        Foster, Schoepf and Brintrup, "Fast Machine Unlearning Without Retraining Through Selective
        Synaptic Dampening", AAAI 2024, arXiv 2308.07707, equations 4 to 6;
        if-loops/selective-synaptic-dampening.

    Deviations:
        The official code scales `alpha` with the size of the model by hand and offers another upper
        bound of the factor than 1; the bound is fixed here, `alpha` is yours.

    Cost:
        None beyond the two importances; host memory of a float64 copy of the weights.
    """
    check_built(model, "selective_dampening")
    architecture = Architecture.of(model)
    for argument, importance in (("forget", forget), ("full", full)):
        if not isinstance(importance, WeightImportance):
            raise TypeError(f"`{argument}` must be a WeightImportance, got {importance!r}.")
        architecture.check(importance.architecture, f"`{argument}`={importance!r}")
    _check_alike(forget, full)
    check_number("alpha", alpha, exclusive_minimum=0.0)
    check_number("dampening", dampening, minimum=0.0)
    check_number("exponent", exponent, exclusive_minimum=0.0)
    indices = forget.indices
    if layers is not None:
        chosen = select_weights(model, layers, "affine").indices
        indices = tuple(index for index in indices if index in chosen)
        if not indices:
            raise ValueError(f"`layers`={layers!r} selects no weight that has an importance.")
    deltas, selected = [], 0
    for index, array in read_weights(model, indices).items():
        wanted = forget.value(index).astype("float64")
        needed = full.value(index).astype("float64")
        hit = wanted > alpha * needed
        ratio = dampening * needed / np.where(hit, wanted, 1.0)
        factor = np.where(hit, np.minimum(ratio**exponent, 1.0), 1.0)
        deltas.append((model.weights[index], array.astype("float64") * (factor - 1.0)))
        selected += int(hit.sum())
    if not selected:
        warnings.warn(
            f"selective_dampening: no weight is more than `alpha`={alpha} times as important to "
            "the data to forget, so the patch changes nothing. Lower `alpha`.",
            stacklevel=2,
        )
    return Patch.from_deltas(model, deltas, name=name, kind="selective_dampening")


def _check_alike(forget, full):
    compared = ["kind", "indices"]
    # Batches of a data set have a size that is not known, and single samples have none.
    if forget.kind != "sample" and None not in (forget.batch_size, full.batch_size):
        compared.append("batch_size")
    for what in compared:
        mine, other = getattr(forget, what), getattr(full, what)
        if mine != other:
            raise ValueError(
                f"`forget` and `full` cannot be compared: their {what} is {mine} and {other}. "
                "Compute both with the same arguments."
            )
