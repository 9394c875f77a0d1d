"""Dense layers and convolutions that compute with a function of their kernel."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class ReparametrizedKernel(keras.layers.Layer):
    """Base, before `Dense` or a convolution of Keras, of layers whose weights are `f(kernel)`.

    `kernel` stays what Keras makes of it: the free parameter that is trained, decayed, constrained
    and saved. Only `call` sees `transform(kernel)`. A `kernel` property that gave the transformed
    values would be written to files by Keras and then transformed again by the loaded layer.
    """

    #: The layer of Keras that computes the same with a kernel of its own.
    plain_class: type[keras.layers.Layer]
    #: Arguments of the subclass that `plain_class` does not have.
    own_arguments: tuple[str, ...] = ()

    def transform(self, kernel: Any) -> Any:
        """The weights made of `kernel`, a float tensor of the same shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define transform(kernel).")

    def effective_kernel(self) -> Any:
        """The weights this layer computes with, a float tensor of the shape of `kernel`."""
        if not self.built:
            raise ValueError(f"Layer {self.name!r} is not built, so it has no kernel yet.")
        return self.transform(ops.convert_to_tensor(self.kernel))

    def fold(self) -> keras.layers.Layer:
        """A plain layer of Keras of the same name that gives the same outputs."""
        kernel = ops.convert_to_numpy(self.effective_kernel())
        config = self.get_config()
        for name in self.own_arguments:
            config.pop(name)
        plain = self.plain_class.from_config(config)
        plain.build(tuple(self.get_build_config()["input_shape"]))
        plain.kernel.assign(kernel)
        if self.use_bias:
            plain.bias.assign(ops.convert_to_numpy(self.bias.value))
        return plain

    def save_own_variables(self, store) -> None:
        # Those of Keras' layers know kernel and bias only.
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    def enable_lora(self, rank, *args, **kwargs):
        raise ValueError(
            f"`rank`={rank!r}: LoRA would be added to the free parameter of layer {self.name!r}, "
            "not to the weights it computes with. Call `fold` and enable it on the plain layer."
        )

    def quantize(self, mode=None, *args, **kwargs):
        # `model.quantize` passes over layers that raise this, with a warning.
        raise NotImplementedError(
            f"Layer {self.name!r} computes with a function of its kernel. Call `fold` and quantize "
            f"the plain layer (mode={mode!r})."
        )


class ReparametrizedDense(ReparametrizedKernel):
    """For classes that inherit from `Dense`, too."""

    plain_class = keras.layers.Dense

    def call(self, inputs, training=None):
        outputs = ops.matmul(inputs, self.effective_kernel())
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


class ReparametrizedConv(ReparametrizedKernel):
    """For classes that inherit from `Conv1D`, `Conv2D` or `Conv3D`, too."""

    def call(self, inputs):
        padding = self.padding
        channels_last = self.data_format == "channels_last"
        if padding == "causal":
            before = [self.dilation_rate[0] * (self.kernel_size[0] - 1), 0]
            places = [before, [0, 0]] if channels_last else [[0, 0], before]
            inputs, padding = ops.pad(inputs, [[0, 0], *places]), "valid"
        outputs = ops.conv(
            inputs,
            self.effective_kernel(),
            strides=list(self.strides),
            padding=padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )
        if self.use_bias:
            places = [-1 if axis == "C" else 1 for axis in _axes(self.rank, channels_last)]
            outputs = ops.add(outputs, ops.reshape(self.bias, places))
        return outputs if self.activation is None else self.activation(outputs)


def _axes(rank, channels_last):
    return ["N", *"S" * rank, "C"] if channels_last else ["N", "C", *"S" * rank]
