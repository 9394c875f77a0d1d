"""Which activations treat every channel for itself."""

from __future__ import annotations

import keras

_NAMES = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
    "threshold",
)
_FUNCTIONS = {
    getattr(module, name)
    for module in (keras.activations, keras.ops)
    for name in _NAMES
    if hasattr(module, name)
}
_LAYERS = (keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU)


def is_elementwise(activation) -> bool:
    """Whether an activation is known to work on single numbers; softmax, for one, does not."""
    if activation is None or type(activation) in _LAYERS:
        return True
    if type(activation) is keras.layers.Activation:
        return is_elementwise(activation.activation)
    return any(activation is function for function in _FUNCTIONS)


def mixing_activation(*activations) -> str | None:
    """Why the channels after these activations cannot go one by one, if so."""
    for activation in activations:
        if not is_elementwise(activation):
            name = getattr(activation, "__name__", type(activation).__name__)
            return f"activation {name} is not known to be elementwise"
    return None
