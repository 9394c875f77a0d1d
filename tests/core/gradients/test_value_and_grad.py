"""The batch loss as `fit` has it: inputs, outputs, weights, masks, regularizers, modes, dtypes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import value_and_grad
from keras_reweight.core.testing.compare import assert_close
from tests.core.gradients.references import assert_unchanged, snapshot

GENERATOR = np.random.default_rng(0)
A = GENERATOR.normal(size=(4, 3)).astype("float32")
B = GENERATOR.integers(0, 5, (4, 2))
CLASSES = np.array([0, 1, 1, 0])
VALUES = GENERATOR.normal(size=(4, 1)).astype("float32")
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5], "float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def two_heads(as_dict):
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((2,), dtype="int32", name="b")}
    hidden = layers.Concatenate()(
        [inputs["a"], layers.Flatten()(layers.Embedding(5, 2)(inputs["b"]))]
    )
    logits = layers.Dense(2, name="kind")(hidden)
    value = layers.Dense(1, name="size")(hidden)
    outputs = {"kind": logits, "size": value} if as_dict else [logits, value]
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("as_dict", [True, False])
def test_several_inputs_and_outputs_as_compiled(as_dict):
    model = two_heads(as_dict)
    kind = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        "sgd", loss={"kind": kind, "size": "mse"}, loss_weights={"kind": 0.25, "size": 2.0}
    )
    x = {"a": A, "b": B}
    y = {"kind": CLASSES, "size": VALUES} if as_dict else [CLASSES, VALUES]
    value, gradients, _ = value_and_grad(model, x, y)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert_close(numpy(value), expected, "loss of two heads", relative=1e-6)
    assert [tuple(g.shape) for g in gradients] == [tuple(v.shape) for v in model.variables]

    alone, partial, _ = value_and_grad(
        model, x, y, loss={"kind": kind} if as_dict else [kind, None]
    )
    heads = {variable.path: numpy(g) for variable, g in zip(model.variables, partial, strict=True)}
    assert float(numpy(alone)) != pytest.approx(expected)
    assert not heads["size/kernel"].any() and heads["kind/kernel"].any()


@pytest.fixture(scope="module")
def small():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_sample_weights_as_in_evaluate(small):
    expected = small.evaluate(A, VALUES, sample_weight=WEIGHTS, verbose=0)
    for weights in (WEIGHTS, WEIGHTS[:, None]):
        value, _, _ = value_and_grad(small, A, VALUES, sample_weight=weights)
        assert_close(numpy(value), expected, "weighted loss", relative=1e-6)


def test_labels_may_lack_the_last_axis_of_one(small):
    value, _, _ = value_and_grad(small, A, VALUES)
    flat, _, _ = value_and_grad(small, A, VALUES[:, 0])
    assert_close(numpy(flat), numpy(value), "flat labels", relative=1e-7)


def test_masks_as_in_evaluate():
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), layers.Embedding(4, 2, mask_zero=True), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    x = np.array([[1, 2, 0], [3, 0, 0], [1, 1, 1], [0, 0, 2]])
    y = GENERATOR.normal(size=(4, 3, 1)).astype("float32")
    value, gradients, _ = value_and_grad(model, x, y)
    assert_close(numpy(value), model.evaluate(x, y, verbose=0), "masked loss", relative=1e-6)
    assert not numpy(gradients[0])[0].any()


def test_regularization_is_added_on_request():
    inputs = keras.Input((3,))
    hidden = layers.Dense(2, activity_regularizer="l2", kernel_regularizer="l2")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile("sgd", "mse")
    plain, plain_gradients, _ = value_and_grad(model, A, VALUES)
    full, gradients, _ = value_and_grad(model, A, VALUES, regularization=True)
    assert_close(numpy(full), model.evaluate(A, VALUES, verbose=0), "loss", relative=1e-6)
    hidden = A @ numpy(model.layers[1].kernel)
    extra = 0.01 * 2 * (numpy(model.layers[1].kernel) + A.T @ hidden / len(A))
    difference = numpy(gradients[0]) - numpy(plain_gradients[0])
    assert_close(difference, extra, "gradient of the penalties", of_largest=1e-5)
    assert float(numpy(plain)) < float(numpy(full))


def test_variables_without_influence_get_zeros_and_selections_are_kept_in_order():
    inputs = keras.Input((3,))
    model = keras.Model(
        inputs, [layers.Dense(1, name="a")(inputs), layers.Dense(1, name="b")(inputs)]
    )
    second = model.get_layer("b")
    for selection in (None, "b", second, second.trainable_variables):
        _, gradients, _ = value_and_grad(
            model, A, [VALUES, VALUES], loss=["mse", None], variables=selection
        )
        if selection is None:
            assert len(gradients) == 4 and numpy(gradients[0]).any()
        else:
            assert len(gradients) == 2
            assert not any(numpy(gradient).any() for gradient in gradients)


def test_nothing_is_written_and_dropout_repeats_until_the_updates_are_committed():
    inputs = keras.Input((3,))
    hidden = layers.BatchNormalization()(layers.Dense(8)(inputs))
    model = keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.5, seed=3)(hidden)))
    before = snapshot(model)
    first, _, updates = value_and_grad(model, A, VALUES, loss="mse", training=True)
    second, _, _ = value_and_grad(model, A, VALUES, loss="mse", training=True)
    assert float(numpy(first)) == float(numpy(second))
    assert_unchanged(model, before)
    names = sorted(variable.path.rsplit("/", 1)[-1] for variable, _ in updates)
    assert names == ["moving_mean", "moving_variance", "seed_generator_state"]
    for variable, value in updates:
        variable.assign(value)
    third, _, _ = value_and_grad(model, A, VALUES, loss="mse", training=True)
    assert float(numpy(third)) != float(numpy(first))
    _, _, updates = value_and_grad(model, A, VALUES, loss="mse", training=False)
    assert updates == []


def test_unseeded_dropout_leaves_the_generators_of_the_host_alone():
    model = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5), layers.Dense(1)])
    values = [
        float(numpy(value_and_grad(model, A, VALUES, loss="mse", training=True)[0]))
        for _ in range(2)
    ]
    assert values[0] == values[1]


def test_mixed_precision_gives_float32_gradients():
    found = {}
    for dtype in ("float32", "mixed_bfloat16", "mixed_float16"):
        model = keras.Sequential(
            [
                keras.Input((3,)),
                layers.Dense(4, activation="tanh", dtype=dtype),
                layers.Dense(1, dtype=dtype),
            ]
        )
        _, gradients, _ = value_and_grad(model, A, VALUES, loss="mse")
        assert {keras.backend.standardize_dtype(g.dtype) for g in gradients} == {"float32"}
        found[dtype] = np.concatenate([numpy(g).ravel() for g in gradients])
    full = found.pop("float32")
    for policy, gradients in found.items():
        assert_close(gradients, full, policy, relative=0.05, of_largest=0.02)
        assert np.abs(gradients - full).max() > 0


def test_the_loss_may_be_anything_compile_takes(small):
    compiled, _, _ = value_and_grad(small, A, VALUES)
    function, _, _ = value_and_grad(
        small, A, VALUES, loss=lambda y, p: ops.mean(ops.square(y - p), axis=-1)
    )
    assert_close(numpy(function), numpy(compiled), "function", relative=1e-6)
    chooser = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax")])
    chosen, _, _ = value_and_grad(chooser, A, CLASSES, loss="crossentropy")
    expected = -np.log(numpy(chooser(A)))[np.arange(4), CLASSES].mean()
    assert_close(numpy(chosen), expected, "chosen by shape", relative=1e-6)


def test_tensors_and_float64_arrays_are_taken(small):
    value, _, _ = value_and_grad(small, A, VALUES)
    for x, y in (
        (ops.convert_to_tensor(A), ops.convert_to_tensor(VALUES)),
        (A.astype("float64"), VALUES.astype("float64")),
    ):
        again, gradients, _ = value_and_grad(small, x, y)
        assert_close(numpy(again), numpy(value), "value", relative=1e-6)
        assert numpy(gradients[0]).dtype == np.float32
