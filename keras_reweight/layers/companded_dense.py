"""A dense layer whose weights are bounded and kept away from zero."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.validation import check_integer
from keras_reweight.layers._companded import CompandedKernel
from keras_reweight.layers._reparametrized import ReparametrizedDense


@keras.saving.register_keras_serializable(package="keras_reweight")
class CompandedDense(CompandedKernel, ReparametrizedDense, keras.layers.Dense):
    """A `Dense` layer with companded weights: large ones bounded, small ones spread.

    Use it as a regularizer beside, or instead of, weight decay. The weights are

    `w = amplitude * arctan(kernel / width)`,

    so none is larger than `amplitude * pi / 2`, and where the slope `amplitude / width` at zero is
    above one, weights leave zero faster than their free parameters do. With `learned=True` both
    numbers are trained, one pair a layer, kept positive by a softplus. The kernel initializer
    describes the weights the layer computes with (clipped at 95 % of the bound), so a fresh layer
    behaves as a fresh `Dense`; `set_effective_kernel` takes those of a trained one.

    Regularizers, weight decay and constraints act on the free `kernel`. `effective_kernel()` are
    the weights, and `fold()`, or `fold_kernels` for a whole model, gives a plain `Dense` with the
    same outputs; do that before pruning, quantization, merging or any other edit of weights.

    Args:
        units: Integer >= 1, number of outputs.
        amplitude: Float > 0, or its start if it is learned. Defaults to `1.0`.
        width: Float > 0, or its start if it is learned. Defaults to `1.0`.
        learned: Boolean, whether `amplitude` and `width` are trained. Defaults to `True`.
        **kwargs: Arguments of `keras.layers.Dense`.

    Returns:
        Called with floats of shape `(batch, ..., features)`: shape `(batch, ..., units)`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `units` is smaller than 1, `amplitude` or `width` not positive and finite, or
            Keras refuses an argument.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    head = kr.layers.CompandedDense(1, amplitude=0.5)
    model = keras.Sequential([keras.Input((4,)), head])
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    amplitude, width = head.companding()
    assert keras.ops.max(keras.ops.abs(head.effective_kernel())) <= amplitude * np.pi / 2
    plain = head.fold()
    ```

    Reference:
        Cakaj, Mehnert and Yang, "Weight Compander: A Simple Weight Reparameterization for
        Regularization", IJCNN 2023, arXiv 2306.16993.

    Deviations:
        The text of the paper could not be read; the arctangent is the function we know of it, and
        it has the two properties its abstract states. Starting values and the softplus are ours.

    Cost:
        One arctangent per weight and step; none after `fold`.
    """

    def __init__(
        self,
        units: int,
        *,
        amplitude: float = 1.0,
        width: float = 1.0,
        learned: bool = True,
        **kwargs: Any,
    ):
        check_integer("units", units, minimum=1)
        super().__init__(units, amplitude=amplitude, width=width, learned=learned, **kwargs)
