"""How alike the layers of two models are."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, predictions_of
from keras_reweight.core.layer_calls import recorded_calls
from keras_reweight.core.linear_cka import linear_cka
from keras_reweight.core.selection import all_layers, layers_by_path, select_layers
from keras_reweight.core.validation import check_built, check_integer


def feature_cka(
    model1: keras.Model,
    model2: keras.Model,
    data: Any,
    layers: Any = None,
    *,
    batch_size: int = 128,
) -> dict[str, float]:
    """`linear_cka` of what two models of one architecture compute in each layer.

    Use it to see whether two models, say pruned twice in the same way, found similar features: the
    mean over the layers is the number of the paper. The models run in inference mode and are left
    as they are.

    Args:
        model1: A built `keras.Model`.
        model2: A `keras.Model` with the same layers.
        data: Inputs: arrays, `(x, ...)`, `PyDataset`, `tf.data`, `DataLoader` or batches; labels
            are ignored. More samples than features.
        layers: Layer names, paths, `re.Pattern`, layers of `model1`, predicates or a list of these;
            `None` for the layers with weights. Defaults to `None`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `128`.

    Returns:
        Dict from the path of a layer in `model1` to a float in `[0, 1]`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a model is not built, the models differ in their layers, or a layer is
            unknown, not called once, or gives several tensors.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_compress.analysis import feature_cka

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    assert abs(feature_cka(model, model, x)["dense"] - 1.0) < 1e-6
    ```

    Reference:
        Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019,
        arXiv 1905.00414; Yang et al., "A Three-regime Model of Network Pruning", ICML 2023,
        arXiv 2305.18383; github.com/YefanZhou/ThreeRegimePruning.

    Deviations:
        The official code averages over the input, the output and its softmax.

    Cost:
        One forward pass of both models; the features of the chosen layers are held on the host.
    """
    check_built(model1, "feature_cka", "model1")
    check_built(model2, "feature_cka", "model2")
    check_integer("batch_size", batch_size, minimum=1)
    places = layers_by_path(model1)
    if len(places) != len(all_layers(model2)):
        raise ValueError(
            f"`model2` ({model2.name!r}) must have the layers of `model1`: {len(places)}, it has "
            f"{len(all_layers(model2))}."
        )
    accept = None if layers is not None else _has_weights
    chosen = select_layers(
        model1, layers, accept=accept, candidates=places.values() if layers is not None else None
    ).touched
    number_of = {id(layer): number for number, layer in enumerate(places.values())}
    numbers = [number_of[id(layer)] for layer in chosen]
    features: list[dict[int, list[np.ndarray]]] = [{number: [] for number in numbers} for _ in "12"]
    for x, _, _ in iterate_batches(data, batch_size):
        for model, found in zip((model1, model2), features, strict=True):
            _collect(model, found, x)
    paths = list(places)
    return {
        paths[number]: linear_cka(*(np.concatenate(found[number]) for found in features))
        for number in numbers
    }


def _has_weights(layer):
    return None if layer.weights else "no weights"


def _collect(model, found, x):
    layers = all_layers(model)
    with contextlib.ExitStack() as stack:
        calls = {number: stack.enter_context(recorded_calls(layers[number])) for number in found}
        predictions_of(model, as_model_inputs(model, x))
    for number, values in calls.items():
        if len(values) != 1 or not ops.is_tensor(values[0][1]):
            raise ValueError(
                f"`layers`: layer {layers[number].path!r} must be called once and give one tensor."
            )
        outputs = ops.convert_to_numpy(ops.cast(values[0][1], "float32"))
        found[number].append(outputs.reshape(len(outputs), -1))
