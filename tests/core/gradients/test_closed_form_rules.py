"""The closed form of every layer type against the norms of real per-sample gradients."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import per_sample_gradient_norms, per_sample_gradients
from keras_reweight.core.gradients._closed_form import build_closed_form, plan_layers
from keras_reweight.core.gradients._closed_form_rules import RULES
from keras_reweight.core.gradients._loss_terms import loss_spec
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.testing.compare import assert_close
from tests.core.gradients.references import set_weights


def text_model():
    """Sequences: every rule for them once, some with several positions per sample."""
    inputs = keras.Input((6,), dtype="int32")
    hidden = layers.Embedding(5, 4)(inputs)
    hidden = layers.Conv1D(4, 2, padding="causal", dilation_rate=2, activation="gelu")(hidden)
    hidden = layers.LayerNormalization()(hidden)
    hidden = layers.EinsumDense("abc,cde->abde", (6, 2, 2), bias_axes="de")(hidden)
    hidden = layers.EinsumDense("abde,dec->abc", (6, 3), bias_axes="c")(hidden)
    hidden = layers.RMSNormalization()(hidden)
    hidden = layers.Dense(40, activation="tanh")(hidden)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(hidden)))


def image_model():
    inputs = keras.Input((5, 5, 2))
    hidden = layers.Conv2D(3, 3, strides=2, padding="same", activation="tanh")(inputs)
    hidden = layers.BatchNormalization()(hidden)
    hidden = layers.Conv2D(2, 2, dilation_rate=2, use_bias=False)(hidden)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(hidden)))


def inputs_of(name):
    generator = np.random.default_rng(4)
    if name == "text":
        return generator.integers(0, 5, (3, 6)), generator.normal(size=(3, 2)).astype("float32")
    x = generator.normal(size=(3, 5, 5, 2)).astype("float32")
    return x, generator.normal(size=(3, 2)).astype("float32")


@pytest.fixture(scope="module")
def models():
    built = {"text": text_model(), "image": image_model()}
    for model in built.values():
        set_weights(model)
    return built


def test_every_rule_is_tested_here(models):
    assert set(RULES) <= {type(layer) for model in models.values() for layer in model.layers}


@pytest.mark.parametrize("name", ["text", "image"])
def test_every_variable(models, name):
    model, (x, y) = models[name], inputs_of(name)
    variables = model.trainable_variables
    plans, reason = plan_layers(model, variables)
    assert reason is None
    objective = Objective(model, loss_spec(model, "mse", "test"), training=False)
    arguments = (objective.samples, variables, model.non_trainable_variables, plans)
    squares = build_closed_form(*arguments, reduce=lambda squares: squares)(x, y, None)
    found = per_sample_gradients(model, x, y, loss="mse")
    for variable, square, gradient in zip(variables, squares, found, strict=True):
        expected = np.square(ops.convert_to_numpy(gradient)).reshape(len(x), -1).sum(1)
        assert_close(ops.convert_to_numpy(square), expected, variable.path)


def test_a_selection_counts_for_itself(models):
    model, (x, y) = models["image"], inputs_of("image")
    norms = [
        ops.convert_to_numpy(
            per_sample_gradient_norms(
                model, x, y, loss="mse", variables=variables, method="closed_form"
            )
        )
        for variables in (model.layers[1], model.trainable_variables[2:], None)
    ]
    assert_close(np.hypot(norms[0], norms[1]), norms[2], "parts and whole")


def test_channels_first():
    inputs = keras.Input((2, 5, 5))
    hidden = layers.Conv2D(3, 2, strides=2, data_format="channels_first")(inputs)
    hidden = layers.BatchNormalization(axis=1)(hidden)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(hidden)))
    x, y = inputs_of("image")
    x = np.moveaxis(x, -1, 1)
    closed = per_sample_gradient_norms(model, x, y, loss="mse", method="closed_form")
    mapped = per_sample_gradient_norms(model, x, y, loss="mse", method="map")
    assert_close(ops.convert_to_numpy(closed), ops.convert_to_numpy(mapped), "channels first")


def make(hidden):
    def build():
        inputs = keras.Input((4, 4))
        return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(hidden(inputs))))

    return build


def shared():
    layer = layers.Dense(4)
    return make(lambda h: layer(layer(h)))()


def tied():
    class Tied(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = layers.Dense(2, use_bias=False)

        def call(self, inputs):
            hidden = self.table(ops.mean(inputs, axis=1))
            return ops.matmul(hidden, ops.transpose(self.table.kernel))[:, :2]

    model = Tied()
    model(np.zeros((1, 4, 4), "float32"))
    return model


def with_lora():
    model = make(layers.Dense(3))()
    model.layers[1].enable_lora(1)
    return model


REFUSED = {
    "no rule": (make(layers.SimpleRNN(2)), "SimpleRNNCell, which has no rule"),
    "wrapper": (make(layers.TimeDistributed(layers.Dense(2))), "called by the wrapper"),
    "grouped": (make(layers.Conv1D(2, 2, groups=2)), "grouped convolution"),
    "shared": (shared, "called more than once"),
    "tied": (tied, "used outside of its layer"),
    "lora": (with_lora, "has LoRA weights"),
    "ellipsis": (make(layers.EinsumDense("...c,cd->...d", (4, 2))), "ellipsis"),
    "subclass": (make(type("Own", (layers.Dense,), {})(2)), "of type Own, which has no rule"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_has_no_closed_form_is_refused_and_mapped(name):
    build, reason = REFUSED[name]
    model = build()
    generator = np.random.default_rng(5)
    x = generator.normal(size=(2, 4, 4)).astype("float32")
    y = generator.normal(size=(2, 2)).astype("float32")
    with pytest.raises(ValueError, match=reason):
        per_sample_gradient_norms(model, x, y, loss="mse", method="closed_form")
    if name in ("tied", "shared"):
        automatic = per_sample_gradient_norms(model, x, y, loss="mse")
        found = per_sample_gradients(model, x, y, loss="mse")
        squares = [np.square(ops.convert_to_numpy(g)).reshape(2, -1).sum(1) for g in found]
        assert_close(ops.convert_to_numpy(automatic), np.sqrt(sum(squares)), name)
    assert "call" not in vars(model.layers[-1])
