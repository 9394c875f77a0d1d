"""Identity with a scaled gradient."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients._function import is_float_tensor


def grad_scale(x: Any, scale: Any) -> Any:
    """Return `x` unchanged and multiply its gradient by `scale`.

    `y = stop(x) + scale * (x - stop(x))`: the value is exactly `x`, the derivative is `scale`. A
    negative scale reverses the gradient (domain-adversarial training), zero stops it, a scale
    between weighs one modality or task against another. It works in reverse and forward mode, on
    every backend, inside layers and compiled train steps.

    Args:
        x: Float tensor of any shape and dtype. Infinite entries come out as NaN.
        scale: Float, or float tensor broadcastable to `x`, which may be computed in the graph. It
            gets no gradient of its own.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        TypeError: If `x` is not floating point.

    Example:

    ```python
    import keras
    from keras import ops
    from keras_reweight.gradients import grad_scale, make_input_gradient

    reverse = make_input_gradient(lambda x: ops.sum(grad_scale(x, -1.0) * 3.0, axis=-1))
    reverse(ops.ones((2, 4)))  # every entry is -3
    ```

    Reference:
        Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015, arXiv
        1409.7495, section 3.2, for the reversal.

    Cost:
        Three elementwise operations.
    """
    if not keras.utils.is_keras_tensor(x):
        x = ops.convert_to_tensor(x)
    if not is_float_tensor(x):
        raise TypeError(f"`x` must be floating point to have a gradient, got dtype {x.dtype}.")
    constant = ops.stop_gradient(x)
    return constant + (x - constant) * ops.cast(scale, x.dtype)
