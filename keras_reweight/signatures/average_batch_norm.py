"""Batch normalization of several robust models at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.batch_norm import batch_norm_layers
from keras_reweight.core.selection import select_layers
from keras_reweight.core.validation import check_built
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_variable
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_snapshot import (
    WeightSnapshot,
    architecture_of,
    weight_reader,
)


def average_batch_norm(
    model: keras.Model,
    robust: Sequence[keras.Model | WeightSnapshot],
    *,
    layers: Any = None,
    name: str = "batch_norm",
) -> Patch:
    """The mean of what robust models have in batch normalization, as a patch.

    Several signatures at once (`patched(model, {"noise": noise, "blur": blur})`) leave open which
    batch normalization the model shall have. This patch leads from that of `model` to the mean
    over the robust models, of gamma, beta, moving mean and moving variance. Extract the signatures
    with `batch_norm="skip"`, so that nothing is moved twice. `reestimate_batch_norm` does better
    where there are corrupted inputs to estimate on, and may follow.

    Args:
        model: A built `keras.Model`, the clean one.
        robust: List of models or `WeightSnapshot` of this architecture.
        layers: Names, a `re.Pattern`, a predicate, layers or a list of these, to choose among the
            batch normalization layers; `None` takes all.
        name: String, name of the patch. Defaults to `"batch_norm"`.

    Returns:
        A `Patch` of kind `"batch_norm"`.

    Raises:
        TypeError: If `model`, or one of `robust`, is no model or snapshot.
        ValueError: If `robust` is empty or of another architecture, or `model` has no such layer.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    robust = []
    for mean in (1.0, 3.0):
        model.layers[0].moving_mean.assign(np.full(3, mean))
        robust.append(kr.WeightSnapshot(model))
    model.layers[0].moving_mean.assign(np.zeros(3))
    patch = kr.signatures.average_batch_norm(model, robust)
    with patch.patched(model):
        mean = keras.ops.convert_to_numpy(model.layers[0].moving_mean)
    np.testing.assert_array_equal(mean, [2.0, 2.0, 2.0])
    ```

    Reference:
        Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
        ICML 2023, arXiv 2302.12480; VITA-Group/Robust_Weight_Signatures.
    """
    check_built(model, "average_batch_norm")
    if isinstance(robust, str) or not isinstance(robust, Sequence):
        raise TypeError(f"`robust` must be a list of models or snapshots, got {robust!r}.")
    if not robust:
        raise ValueError(f"`robust` is empty: there is nothing to average, got {robust!r}.")
    architecture = Architecture.of(model)
    for position, source in enumerate(robust):
        argument = f"robust[{position}]"
        theirs = architecture_of(source, argument, "average_batch_norm")
        architecture.check(theirs, f"`{argument}` (there), compared with `model` (here),")
    chosen = select_layers(model, layers, candidates=batch_norm_layers(model)).touched
    place = {id(variable): index for index, variable in enumerate(model.weights)}
    readers = [weight_reader(source) for source in robust]
    return Patch.from_deltas(
        model,
        (
            (variable, _mean(readers, place[id(variable)]) - read_variable(variable))
            for layer in chosen
            for variable in layer.weights
        ),
        name=name,
        kind="batch_norm",
    )


def _mean(readers, index):
    return np.mean([read(index).astype(np.float64) for read in readers], axis=0)
