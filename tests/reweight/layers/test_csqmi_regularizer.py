"""CSQMIRegularizer passes its second input on and adds a penalty."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional import test_cs_qmi as qmi


def reference(x, t, beta, sigma, normalized):
    return {"output": t, "loss": beta * qmi.reference(x, t, sigma, normalized)}


def build(beta, **options):
    keras.utils.set_random_seed(0)
    x = keras.Input((3,))
    code = kr.layers.CSQMIRegularizer(beta, **options)([x, keras.layers.Dense(2)(x)])
    return keras.Model(x, keras.layers.Dense(1)(code))


def data():
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    return x, x[:, :1]


def test_the_loss_of_a_model_is_its_own_plus_the_penalty():
    x, y = data()
    with_penalty, without = build(0.5), build(0.0)
    for model in (with_penalty, without):
        model.compile("sgd", "mse")
    code = keras.Model(without.input, without.layers[1].output)(x)
    penalty = qmi.reference(x.astype("float64"), ops.convert_to_numpy(code), normalized=True)
    found = with_penalty.evaluate(x, y, verbose=0) - without.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(found, 0.5 * penalty, rtol=1e-4)


def test_training_with_the_penalty_forgets_more():
    x, y = data()
    left = []
    for beta in (0.0, 5.0):
        model = build(beta)
        model.compile(keras.optimizers.Adam(0.05), "mse")
        model.fit(x, y, batch_size=16, epochs=10, verbose=0)
        code = keras.Model(model.input, model.layers[1].output)(x)
        left.append(float(ops.convert_to_numpy(kr.functional.cs_qmi(x, code, normalized=True))))
    assert left[1] < left[0]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_the_dtype_and_a_float32_penalty(policy):
    layer = kr.layers.CSQMIRegularizer(0.1, dtype=policy)
    x, _ = data()
    code = ops.cast(x[:, :2], "float16")
    assert keras.backend.standardize_dtype(layer([x, code]).dtype) == "float16"
    assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"


def test_survives_a_keras_file(tmp_path):
    model = build(0.5, sigma="median")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, _ = data()
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)), rtol=1e-6
    )


def test_a_single_input_is_refused():
    with pytest.raises(ValueError, match=r"\[x, t\]"):
        kr.layers.CSQMIRegularizer()(np.zeros((4, 2), "float32"))
