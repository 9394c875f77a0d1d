"""Training in few bits: an optimizer, binary layers, attention with one matrix for its scores."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress.continual import test_binary_variational_conv2d, test_binary_variational_dense
from tests.compress.optimizers import test_error_compensating
from tests.compress.quantization import test_reparametrized_attention

_RNG = np.random.default_rng(5)
_IMAGES = _RNG.normal(size=(2, 5, 5, 3)).astype("float32")
_SEQUENCES = _RNG.normal(size=(3, 4, 6)).astype("float32")
_THETA = _RNG.normal(size=(4, 3)).astype("float32")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _WrapperRow(Row):
    """An optimizer around another one: what is an option of both belongs to the inner one."""

    def make(self, **changes):
        of_both = ("learning_rate", "gradient_accumulation_steps")
        inner = {name: changes.pop(name) for name in of_both if name in changes}
        arguments = self.make_arguments(**changes)
        if inner:
            given = arguments["inner_optimizer"]
            arguments["inner_optimizer"] = type(given).from_config({**given.get_config(), **inner})
        return self.target(**arguments)


def _linear(function):
    """The reference of a layer for its weights: `theta`, the prior and whether it pulls."""
    return lambda inputs, weights: function(inputs, weights[0])


def _attention(inputs, weights, key_dim):
    return test_reparametrized_attention.reference_quantized(inputs, weights[:6], key_dim, 4)


def _binary_model(sign=1.0):
    model = keras.Sequential(
        [keras.Input((4,)), kc.continual.BinaryVariationalDense(3, name="layer")]
    )
    model.layers[0].theta.assign(sign * _THETA)
    return model


_NO_MODEL = (({"model": "model"}, TypeError, "model"),)
_BINARY = (
    ({"kl_weight": -1.0}, ValueError, "kl_weight"),
    ({"seed": 0.5}, TypeError, "seed"),
)

ROWS = [
    _WrapperRow(
        kc.optimizers.ErrorCompensating,
        "optimizer",
        arguments=lambda: {"inner_optimizer": keras.optimizers.Adam(0.05), "grid": 5},
        knob={"grid": 3},
        reference=test_error_compensating.reference_of_parts,
        bad_arguments=(
            ({"inner_optimizer": "adam"}, TypeError, "inner_optimizer"),
            ({"inner_optimizer": keras.optimizers.SGD(0.1)}, ValueError, "inner_optimizer"),
            ({"grid": 9}, ValueError, "grid"),
            ({"grid": "int4"}, ValueError, "grid"),
            ({"stochastic": 1}, TypeError, "stochastic"),
            ({"compensate": 0}, TypeError, "compensate"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"min_learning_rate": -1.0}, ValueError, "min_learning_rate"),
            ({"seed": 0.5}, TypeError, "seed"),
        ),
    ),
    Row(
        kc.continual.BinaryVariationalDense,
        "layer",
        arguments={"units": 3, "kl_weight": 0.01},
        knob={"units": 4},
        reference=_linear(test_binary_variational_dense.reference),
        bad_arguments=(({"units": 0}, ValueError, "units"), *_BINARY),
        accepts_any=("activation",),
    ),
    Row(
        kc.continual.BinaryVariationalConv2D,
        "layer",
        arguments={"filters": 2, "kernel_size": 2, "strides": 1},
        inputs=lambda: {"inputs": _IMAGES},
        knob={"kernel_size": 3},
        reference=_linear(test_binary_variational_conv2d.reference),
        bad_arguments=(
            ({"filters": 0}, ValueError, "filters"),
            ({"kernel_size": 0}, ValueError, "kernel_size"),
            ({"strides": 1.5}, TypeError, "strides"),
            ({"padding": "causal"}, ValueError, "padding"),
            *_BINARY,
        ),
        accepts_any=("activation",),
    ),
    Row(
        kc.continual.consolidate,
        "function",
        inputs=lambda: {"model": _binary_model()},
        outcome=lambda _, model: model.layers[0].prior,
        knob=lambda: {"model": _binary_model(-1.0)},
        reference=lambda: _THETA,
        mutates=True,
        bad_arguments=(*_NO_MODEL, ({"layers": "missing"}, ValueError, "layers")),
    ),
    Row(
        kc.continual.binarize,
        "function",
        inputs=lambda: {"model": _binary_model()},
        knob={"weights": "mean"},
        reference=lambda: [np.sign(_THETA) / 2.0],
        bad_arguments=(*_NO_MODEL, ({"weights": "median"}, ValueError, "weights")),
    ),
    Row(
        kc.layers.ReparametrizedAttention,
        "layer",
        arguments=lambda: {
            "num_heads": 2,
            "key_dim": 3,
            "value_dim": 4,
            "weight": kc.quantizers.StatsQuantizer(bits=4),
        },
        inputs=lambda: {"inputs": _SEQUENCES},
        knob=lambda: {"weight": kc.quantizers.StatsQuantizer(bits=2)},
        reference=_attention,
        bad_arguments=(
            ({"num_heads": 0}, ValueError, "num_heads"),
            ({"key_dim": 2.5}, TypeError, "key_dim"),
            ({"value_dim": 0}, ValueError, "value_dim"),
            ({"dropout": 1.0}, ValueError, "dropout"),
            ({"use_bias": 1}, TypeError, "use_bias"),
            ({"weight": 4}, TypeError, "weight"),
            (
                {"activation": kc.quantizers.StatsQuantizer(bits=4)},
                ValueError,
                "activation",
            ),
        ),
    ),
]
