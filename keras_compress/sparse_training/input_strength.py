"""How strongly a layer is connected to each of its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_compress.sparse_training.set import SET
from keras_reweight.core.validation import check_number


def input_strength(kernel: Any, *, fraction: float = 0.0) -> np.ndarray:
    """Strength of each input of a layer: the sum of the magnitudes of its weights.

    In a sparse network whose connections evolve, inputs that matter gather more and stronger
    connections than others: `s_i = sum_j |W_ij|`. Weights that the next update would drop say
    little; `fraction` leaves them out, as `SET` would.

    Args:
        kernel: Float array or variable of shape `(inputs, ..., outputs)`: a kernel of a dense
            layer, for example.
        fraction: Float in `[0, 1]`, share of the weights of each sign, those closest to zero, that
            do not count. Defaults to `0.0`.

    Returns:
        Float64 array of shape `(inputs,)`.

    Raises:
        TypeError: If `kernel` is no array of numbers or `fraction` not a number.
        ValueError: If `kernel` has less than two dimensions or is not finite, or `fraction` is
            outside `[0, 1]`.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.array([[1.0, -2.0], [0.0, 0.5]])
    assert kc.sparse_training.input_strength(kernel).tolist() == [3.0, 0.5]
    ```

    Reference:
        Atashgahi et al., "Quick and Robust Feature Selection: the Strength of Energy-efficient
        Sparse Training for Autoencoders", Machine Learning 2022, arXiv 2012.00560, section 4.2.
    """
    check_number("fraction", fraction, minimum=0.0, maximum=1.0)
    weight = np.asarray(ops.convert_to_numpy(kernel) if ops.is_tensor(kernel) else kernel)
    if weight.dtype.kind not in "fiu":
        raise TypeError(f"`kernel` must be an array of numbers, got {kernel!r}.")
    weight = weight.astype("float64")
    if weight.ndim < 2 or not np.isfinite(weight).all():
        raise ValueError(
            "`kernel` must be finite and have at least two dimensions, got an array of shape "
            f"{weight.shape}: {kernel!r}."
        )
    if fraction:
        weight = np.where(SET().drop(weight, weight != 0, fraction), 0.0, weight)
    return np.abs(weight).sum(axis=tuple(range(1, weight.ndim)))
