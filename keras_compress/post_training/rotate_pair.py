"""Rotate what passes between two linear layers."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.calibration.kernel_rows import kernel_matrix, kernel_of_matrix
from keras_compress.post_training.random_rotation import random_rotation
from keras_reweight.core.validation import check_integer

_KINDS = (keras.layers.Dense, keras.layers.EinsumDense)


def rotate_pair(
    first: keras.layers.Layer,
    second: keras.layers.Layer,
    *,
    size: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Rotate what goes from one linear layer to the next, in both kernels, at no cost in use.

    Before quantization, where the values between two layers have large entries. With a rotation
    `Q` (`random_rotation`), the kernel and bias of `first` become `W Q` and `b Q`, the kernel of
    `second` `Q^T W`: the product is the same. Nothing but sums over positions may be in between: no
    activation, no normalization. The value and output projections of attention are such a pair,
    head by head: `size=head_dim`.

    The layers are changed in place. In a graph, `second` must be the only layer that reads what
    `first` gives; this function cannot see it.

    Args:
        first: `Dense` or `EinsumDense` without activation.
        second: `Dense` or `EinsumDense` with as many inputs as `first` has outputs.
        size: Integer >= 1, entries that are rotated together, a divisor of that number; the same
            rotation turns every part. `None` for all. Defaults to `None`.
        seed: Integer >= 0, of the rotation. Defaults to `0`.

    Returns:
        Float64 array of shape `(size, size)`, the rotation.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a layer is not built, `first` has an activation, or sizes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, name="first"), keras.layers.Dense(3)]
    )
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    before = model.predict(x, verbose=0)
    kc.post_training.rotate_pair(*model.layers)
    assert np.allclose(model.predict(x, verbose=0), before, atol=1e-5)
    ```

    Reference:
        Ashkboos et al., "QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs", NeurIPS 2024, arXiv
        2404.00456, section 4; Sung et al., "RSQ", arXiv 2503.01820.
    """
    for name, layer in (("first", first), ("second", second)):
        if not isinstance(layer, _KINDS):
            raise TypeError(f"`{name}` must be a Dense or EinsumDense layer, got {layer!r}.")
        if not layer.built:
            raise ValueError(f"`{name}`: layer {layer.name!r} is not built.")
    if first.activation not in (None, keras.activations.linear):
        raise ValueError(
            f"`first`: layer {first.name!r} has the activation {first.activation!r}; rotations do "
            "not pass through it."
        )
    check_integer("seed", seed, minimum=0)
    matrix, reader = (kernel_matrix(layer).astype("float64") for layer in (first, second))
    width = matrix.shape[1]
    if len(reader) != width:
        raise ValueError(
            f"`second`: layer {second.name!r} has {len(reader)} inputs, but `first` {width} "
            "outputs."
        )
    if size is not None:
        check_integer("size", size, minimum=1)
        if width % size:
            raise ValueError(f"`size` must divide the {width} outputs of `first`, got {size!r}.")
    rotation = random_rotation(width if size is None else size, seed=seed)
    bias = first.bias
    if bias is not None:
        if int(np.prod(bias.shape)) != width:
            raise ValueError(
                f"`first`: the bias of {first.name!r} has shape {tuple(bias.shape)}, which is not "
                f"one for each of its {width} outputs."
            )
        values = keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(bias))
        bias.assign(_turned(values.astype("float64"), rotation).reshape(bias.shape))
    first.kernel.assign(kernel_of_matrix(first, _turned(matrix, rotation)))
    second.kernel.assign(kernel_of_matrix(second, _turned(reader.T, rotation).T))
    return rotation


def _turned(array, rotation):
    """The last axis, part by part, times the rotation."""
    parts = array.reshape(-1, len(rotation))
    return (parts @ rotation).reshape(array.shape)
