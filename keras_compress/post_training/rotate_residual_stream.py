"""Rotate what the blocks of a transformer add up."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_compress._rebuild import copy_layer, copy_state, rebuild
from keras_compress.calibration.kernel_rows import kernel_matrix, kernel_of_matrix
from keras_compress.post_training._residual_stream import residual_streams
from keras_compress.post_training._scale_pairs import gain_of
from keras_compress.post_training.random_rotation import random_rotation
from keras_reweight.core.model_kind import is_functional
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_integer


def rotate_residual_stream(model: keras.Model, *, seed: int = 0) -> keras.Model:
    """Rotate the residual stream of a pre-norm transformer; the model computes the same.

    Before quantization, against a few channels that are far larger than the others all through the
    model: afterwards none stands out, and no kernel has to be stored in a rotated form. What is
    added to the stream (embeddings, output projections) is multiplied by a random rotation `Q`,
    kernels that read it by `Q^T`. Gains and offsets of normalizations move into the kernels behind
    them before; a `LayerNormalization` becomes an `RMSNormalization`, as its mean moves into the
    layers that write to the stream.

    For Functional models of `Embedding`, `Dense`, `EinsumDense`, `MultiHeadAttention`, additions,
    dropout and normalizations over the last axis. Every stream in the graph is turned that nothing
    else reads or writes; a network with normalizations after the additions has none.

    Args:
        model: A built Functional `keras.Model`; it is left alone.
        seed: Integer >= 0, of the rotation. Defaults to `0`.

    Returns:
        A new `keras.Model`, not compiled.

    Raises:
        TypeError: If `model` is no `keras.Model` or `seed` no integer.
        ValueError: If the model is not built or not Functional, or no stream can be turned; the
            message says why.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    ids = keras.Input((4,), dtype="int32")
    x = keras.layers.Embedding(9, 8)(ids)
    y = keras.layers.LayerNormalization()(x)
    y = keras.layers.Dense(16, "gelu")(y)
    x = keras.layers.Add()([x, keras.layers.Dense(8)(y)])
    model = keras.Model(ids, keras.layers.Dense(9)(keras.layers.LayerNormalization()(x)))
    turned = kc.post_training.rotate_residual_stream(model)
    found, expected = (one.predict(np.ones((1, 4)), verbose=0) for one in (turned, model))
    assert np.allclose(found, expected, atol=1e-4)
    ```

    Reference:
        Ashkboos et al., "SliceGPT", ICLR 2024, arXiv 2401.15024 (computational invariance);
        Ashkboos et al., "QuaRot", NeurIPS 2024, arXiv 2404.00456; Sung et al., "RSQ", arXiv
        2503.01820.

    Deviations:
        Rotations inside feed-forward layers, which would have to be computed in use, are left out;
        `Rotated` has them. `rotate_pair` turns values of attention heads.

    Cost:
        A copy of the model and a product of every kernel with the rotation.
    """
    check_built(model, "rotate_residual_stream")
    check_integer("seed", seed, minimum=0)
    if not is_functional(model):
        raise ValueError(
            f"`model`: {model.name!r} is a {type(model).__name__}, whose residual stream cannot be "
            "followed. Build it with keras.Model(inputs, outputs)."
        )
    found = residual_streams(model)
    for stream in found:
        _check_centers(stream)
    streams = [stream for stream in found if not stream.problems]
    if not streams:
        reasons = "; ".join(problem for stream in found for problem in stream.problems)
        raise ValueError(
            f"`model`: {model.name!r} has no residual stream that can be turned: "
            f"{reasons or 'nothing is added'}."
        )
    sync_model(model)
    norms = {id(norm) for stream in streams for norm, _ in stream.normalized}
    turned, pairs = rebuild(model, lambda layer: _copy(layer, id(layer) in norms))
    for old, new in pairs.values():
        if id(old) not in norms:
            copy_state(old, new)
    for stream in streams:
        _turn(stream, pairs, random_rotation(stream.width, seed=seed))
    return turned


def _check_centers(stream):
    kinds = {isinstance(norm, keras.layers.LayerNormalization) for norm, _ in stream.normalized}
    if True in kinds and (len(kinds) > 1 or stream.readers):
        stream.problems.append("a LayerNormalization takes its mean, and others read it as it is")
    for norm, readers in stream.normalized:
        offset = getattr(norm, "beta", None)
        if (
            offset is not None
            and np.any(_host(offset))
            and any(_layer(reader).bias is None for reader in readers)
        ):
            stream.problems.append(f"a layer behind {norm.name!r} has no bias for its offset")


def _copy(layer, is_turned):
    if not is_turned:
        return copy_layer(layer)
    return keras.layers.RMSNormalization(
        axis=-1, epsilon=layer.epsilon, name=layer.name, dtype=layer.dtype_policy
    )


def _turn(stream, pairs, rotation):
    centered = any(
        isinstance(norm, keras.layers.LayerNormalization) for norm, _ in stream.normalized
    )
    for writer in stream.writers:
        layer = _layer(writer, pairs)
        if isinstance(layer, keras.layers.Embedding):
            layer.embeddings.assign(_written(_host(layer.embeddings), rotation, centered))
            continue
        matrix = _written(kernel_matrix(layer).astype("float64"), rotation, centered)
        layer.kernel.assign(kernel_of_matrix(layer, matrix))
        if layer.bias is not None:
            layer.bias.assign(_written(_host(layer.bias), rotation, centered))
    for reader in stream.readers:
        layer = _layer(reader, pairs)
        matrix = rotation.T @ kernel_matrix(layer).astype("float64")
        layer.kernel.assign(kernel_of_matrix(layer, matrix))
    for norm, readers in stream.normalized:
        gain, offset = gain_of(norm), getattr(norm, "beta", None)
        gain = np.ones(stream.width) if gain is None else _host(gain)
        for reader in readers:
            layer = _layer(reader, pairs)
            matrix = kernel_matrix(layer).astype("float64")
            if offset is not None and layer.bias is not None:
                bias = _host(layer.bias)
                layer.bias.assign(bias + (_host(offset) @ matrix).reshape(bias.shape))
            matrix = rotation.T @ (gain[:, None] * matrix)
            layer.kernel.assign(kernel_of_matrix(layer, matrix))


def _written(array, rotation, centered):
    if centered:
        array = array - array.mean(axis=-1, keepdims=True)
    return array @ rotation


def _layer(place, pairs=None):
    layer, attribute = place
    layer = layer if pairs is None else pairs[id(layer)][1]
    return layer if attribute is None else getattr(layer, attribute)


def _host(variable):
    return ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype("float64")
