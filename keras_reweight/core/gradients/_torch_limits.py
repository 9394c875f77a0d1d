"""What torch cannot vectorize, known beforehand."""

from __future__ import annotations

import keras

from keras_reweight.core.selection import all_layers

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def needs_loop(model: keras.Model) -> bool:
    """Whether per-sample gradients have to go sample by sample.

    Keras asks torch for a channels-last memory format, which `vmap` cannot give. Other backends do
    not look at the answer.
    """
    return any(
        isinstance(layer, _CONVOLUTIONS) and layer.data_format == "channels_last"
        for layer in all_layers(model)
    )
