"""Wrappers that take the arguments of the layer they hold and know the layers inside of it."""

from __future__ import annotations

from types import SimpleNamespace

import keras

from keras_compress._weight_wrapper import WeightWrapper
from keras_compress.quantization.supported import Part, is_of_keras, parts
from keras_reweight.core.call_signature import adopt_call_signature, symbolic_like
from keras_reweight.core.selection import layers_by_path


class PartsWrapper(WeightWrapper):
    """Base of wrappers around any layer: `call(*args, **kwargs)` gets what the inner layer takes.

    A layer that cannot be built from the shape of its first input is built by a symbolic call.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs):
        super().__init__(layer, **kwargs)
        adopt_call_signature(self, layer)
        # Held in a namespace, Keras does not track the layers a second time.
        self._found = SimpleNamespace(parts=[])

    @property
    def parts(self) -> list[Part]:
        """The parts of the inner layer, once it is built."""
        return self._found.parts

    def __call__(self, *args, **kwargs):
        if not self.built and not _is_built(self.layer) and not _takes_one_shape(self.layer):
            # Built as Keras would do it, from symbols like the arguments.
            self.layer(*symbolic_like(args), **symbolic_like(kwargs))
        return super().__call__(*args, **kwargs)

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        self._found.parts = parts(self.layer)

    def get_build_config(self):
        config = super().get_build_config()
        return config and {**config, "layer": self.layer.get_build_config()}

    def build_from_config(self, config):
        if not config:
            return
        if not self.layer.built and config["layer"]:
            self.layer.build_from_config(config["layer"])
        # What only a call can build is left to the call.
        if config["layer"] or _is_built(self.layer):
            self.build(config["input_shape"])

    def compute_output_spec(self, *args, **kwargs):
        if is_of_keras(self.layer):
            return self.layer.compute_output_spec(*args, **kwargs)
        # The layers inside cast to their compute dtypes only when they are called.
        outputs = self.layer(*symbolic_like(args), **symbolic_like(kwargs))
        return symbolic_like(outputs)

    def compute_output_shape(self, *args, **kwargs):
        return self.layer.compute_output_shape(*args, **kwargs)


def _is_built(layer):
    return all(one.built for one in (layer, *layers_by_path(layer).values()))


def _takes_one_shape(layer):
    """Whether the shape of the first input is enough to build the layer."""
    return is_of_keras(layer) and not isinstance(
        layer, (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    )
