"""Training some layers while all others stay as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_reweight.core.selection import leaf_layers
from keras_reweight.core.validation import check_built
from keras_reweight.signatures.weight_selection import select_weights


def fine_tune_only(
    model: keras.Model, layers: Any
) -> contextlib.AbstractContextManager[keras.Model]:
    """Freeze all but the chosen layers inside a `with` block, and undo it on exit.

    Compile and fit inside the block: an optimizer takes what is trainable when it is made. Frozen
    batch normalization keeps its statistics. On exit, after exceptions too, every `trainable` flag
    of layers and weights is what it was; compile again before training further.

    Args:
        model: A built `keras.Model`.
        layers: Layer names, a `re.Pattern`, a predicate, layers, `shallow(3)` or a list of these.

    Returns:
        A context manager that gives the model.

    Raises:
        TypeError: If `model` is no model, or `layers` of an unknown kind.
        ValueError: If `model` is not built, or `layers` is unknown or has no weights that could be
            trained.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.layers.Dense(8, name="hidden"), keras.layers.Dense(1, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    with kr.editing.fine_tune_only(model, "hidden"):
        model.compile("sgd", "mse")
        model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
    assert len(model.trainable_variables) == 4
    ```

    Reference:
        Zhu et al., "Improving Generalization of Adversarial Training via Robust Critical
        Fine-Tuning", ICCV 2023, arXiv 2308.02533, section 4.2.

    Deviations:
        The official code lets the statistics of all batch normalizations move while one layer is
        fine-tuned; here those of frozen ones stay.
    """
    check_built(model, "fine_tune_only")
    if layers is None:
        raise ValueError("`layers` must say which layers are trained, got None.")
    selection = select_weights(model, layers, "affine")
    chosen = {id(model.weights[index]) for index in selection.indices}
    if not any(id(variable) in chosen for variable in model.trainable_variables):
        raise ValueError(f"`layers`={layers!r}: all weights of these layers are frozen already.")
    return _fine_tune_only(model, chosen)


@contextlib.contextmanager
def _fine_tune_only(model, chosen) -> Iterator[keras.Model]:
    leaves = [(layer, layer.trainable) for layer in leaf_layers(model) if layer.weights]
    variables = [(variable, variable.trainable) for variable in model.variables]
    try:
        for layer, _ in leaves:
            if not any(id(variable) in chosen for variable in layer.weights):
                layer.trainable = False
        # Weights of containers, and those of chosen layers that were not chosen themselves.
        for variable in model.trainable_variables:
            if id(variable) not in chosen:
                variable.trainable = False
        yield model
    finally:
        for layer, trainable in leaves:
            layer.trainable = trainable
        # Last: a layer sets the flags of its weights.
        for variable, trainable in variables:
            variable.trainable = trainable
