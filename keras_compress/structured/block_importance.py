"""How much the blocks of a deep model change what goes through them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.layer_calls import recorded_calls
from keras_reweight.core.observed_inputs import observed_inputs
from keras_reweight.core.selection import all_layers, layers_by_path, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_integer


def block_importance(
    model: keras.Model, data: Any, *, blocks: Sequence[Any], batch_size: int = 32
) -> dict[str, float]:
    """One minus the mean cosine between what goes into a block and what comes out of it.

    Residual blocks near zero hardly turn the features they get and are the first to leave out of a
    deep model; blocks without a skip connection are near one and cannot be compared. Features are
    those of the last axis, position by position; masked tokens do not count.

    Args:
        model: A built `keras.Model`.
        data: Inputs: array of shape `(num_samples, ...)` and any dtype, or batches.
        blocks: List of blocks: a layer (such as a nested model) by name, path or as object, or a
            pair `(first, last)` of such, from the input of the first to the output of the last.
        batch_size: Integer, samples at a time, for arrays. Defaults to `32`.

    Returns:
        Dict from block (the path of the layer, or `"first -> last"`) to float in `[0, 2]`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a layer is unknown or is not called once, or input and output of a block
            have different shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = keras.Input((8,))
    y = x
    for name in ("first", "second"):
        y = keras.layers.Add(name=f"{name}_add")([y, keras.layers.Dense(8, name=name)(y)])
    model = keras.Model(x, y)
    data = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
    blocks = [("first", "first_add"), ("second", "second_add")]
    found = kc.structured.block_importance(model, data, blocks=blocks)
    assert list(found) == ["first -> first_add", "second -> second_add"]
    ```

    Reference:
        Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
        arXiv 2403.03853, equation 1; used by "Lightweight and Post-Training Structured Pruning for
        On-Device LLMs" (COMP), arXiv 2501.15255.

    Cost:
        One forward pass over `data`.
    """
    check_built(model, "block_importance")
    check_integer("batch_size", batch_size, minimum=1)
    if isinstance(blocks, (str, keras.layers.Layer)) or not isinstance(blocks, Sequence):
        raise TypeError(f"`blocks` must be a list of layers or pairs of layers, got {blocks!r}.")
    if not blocks:
        raise ValueError(f"`blocks`={blocks!r} names no block.")
    pairs = [_resolve(model, block) for block in blocks]
    sync_model(model)
    forward = make_forward(lambda x: _cosines(model, pairs, x), model.variables)
    totals, counts = np.zeros(len(pairs)), np.zeros(len(pairs))
    for x, _, _ in iterate_batches(data, batch_size):
        for number, (total, count) in enumerate(forward(as_model_inputs(model, x))):
            totals[number] += float(ops.convert_to_numpy(total))
            counts[number] += float(ops.convert_to_numpy(count))
    if not counts.all():
        raise ValueError("`data` holds no samples, or every token is masked.")
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    names = [
        paths[id(first)] if first is last else f"{paths[id(first)]} -> {paths[id(last)]}"
        for first, last in pairs
    ]
    return {
        name: float(1.0 - total / count)
        for name, total, count in zip(names, totals, counts, strict=True)
    }


def _resolve(model, block):
    ends = block if isinstance(block, (list, tuple)) else (block, block)
    if len(ends) != 2:
        raise ValueError(f"`blocks`: {block!r} is no layer and no pair (first, last).")
    found = []
    for end in ends:
        layers = select_layers(model, end, candidates=all_layers(model), argument="blocks").touched
        if len(layers) != 1:
            raise ValueError(f"`blocks`: {end!r} names {len(layers)} layers, not one.")
        found.append(layers[0])
    return tuple(found)


def _cosines(model, pairs, x):
    inputs: dict[int, list] = {number: [] for number in range(len(pairs))}
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(recorded_calls(last)) for _, last in pairs]
        stack.enter_context(
            observed_inputs(
                model,
                [first for first, _ in pairs],
                lambda number, tensor, mask: inputs[number].append((tensor, mask)),
            )
        )
        predictions_of(model, x)
    found = []
    for number, (first, last) in enumerate(pairs):
        if len(inputs[number]) != 1 or len(outputs[number]) != 1:
            raise ValueError(
                f"`blocks`: {first.path!r} and {last.path!r} must be called once in a pass."
            )
        (before, mask), after = inputs[number][0], outputs[number][0][1]
        if not (ops.is_tensor(before) and ops.is_tensor(after)) or before.shape != after.shape:
            raise ValueError(
                f"`blocks`: what goes into {first.path!r} and comes out of {last.path!r} must be "
                "tensors of one shape."
            )
        found.append(_sum_of_cosines(before, after, mask))
    return found


def _sum_of_cosines(before, after, mask):
    before, after = ops.cast(before, "float32"), ops.cast(after, "float32")
    squares = ops.sum(ops.square(before), axis=-1) * ops.sum(ops.square(after), axis=-1)
    product = ops.sum(before * after, axis=-1)
    cosines = ops.where(squares > 0.0, product / ops.sqrt(ops.maximum(squares, 1e-30)), 0.0)
    if mask is None:
        return ops.sum(cosines), ops.sum(ops.ones_like(cosines))
    valid = ops.broadcast_to(ops.cast(mask, "bool"), ops.shape(cosines))
    return ops.sum(ops.where(valid, cosines, 0.0)), ops.sum(ops.cast(valid, "float32"))
