"""A dense layer with a distribution over binary weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_compress.continual._variational import BinaryVariational
from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class BinaryVariationalDense(BinaryVariational):
    """A dense layer whose weights are +1 or -1 with learned probabilities.

    Use it for small networks that learn one task after another, and that end up with binary
    weights. A weight has the mean `mu = tanh(theta)`; `theta` is trained through the pre-activation
    of `n` inputs `a`,

        z = (a @ mu) / sqrt(n) + e sqrt((a^2 @ (1 - mu^2)) / n),    e ~ N(0, 1),

    in inference without noise. After a task, `consolidate(model)` keeps `theta`; from then on the
    loss has the term `kl_weight * sum KL(weights now, weights then)`. It holds on to weights that
    are certain and leaves those that are not to the new task. `binarize(model)` gives a plain model
    with weights `sign(theta) / sqrt(n)`.

    Not for wide networks that learn a single task: the noise costs accuracy, and quantizers reach
    more with the same bits.

    Args:
        units: Integer >= 1, number of outputs.
        activation: Activation as in `keras.layers.Dense`. Defaults to `None`, linear.
        kl_weight: Float >= 0, factor of the divergence, which is a sum over all weights. Defaults
            to `1e-4`.
        seed: Integer >= 0 for the same initial weights and noise in every run, or `None`. Defaults
            to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Returns:
        Called with a float tensor of shape `(..., inputs)`: a float tensor of shape
        `(..., units)`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    model = keras.Sequential([
        keras.Input((8,)),
        kc.continual.BinaryVariationalDense(16, "relu"),
        kc.continual.BinaryVariationalDense(2),
    ])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(x, y, verbose=0)
    kc.continual.consolidate(model)
    model.fit(x, 1 - y, verbose=0)
    binary = kc.continual.binarize(model)
    ```

    Reference:
        Li et al., "Statistical mechanics of continual learning: Variational principle and
        mean-field potential", Physical Review E 108, 014309, 2023, arXiv 2212.02846; github
        Chan-Li/VCL.

    Deviations:
        The official code stands in for the divergence with the last update of `theta`; here it is
        the divergence itself. Its gradient follows from the formula, so any Keras optimizer will
        do. The steepness `beta` of `tanh(beta theta)`, annealed there, is one.

    Cost:
        Two matrix products instead of one in training, one in inference; one float slot more for
        each weight.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        *,
        kl_weight: float = 1e-4,
        seed: int | None = None,
        **kwargs,
    ):
        check_integer("units", units, minimum=1)
        super().__init__(activation=activation, kl_weight=kl_weight, seed=seed, **kwargs)
        self.units = units

    def kernel_shape(self, input_shape):
        return int(input_shape[-1]), self.units

    def product(self, inputs, kernel):
        return ops.matmul(inputs, kernel)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def plain_layer(self):
        return keras.layers.Dense(
            self.units,
            self.activation,
            use_bias=False,
            name=self.name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}
