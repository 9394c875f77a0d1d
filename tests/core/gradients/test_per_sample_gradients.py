"""What one sample's gradient means: its own loss, its own weight, its own mask."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import (
    fisher_diagonal,
    input_gradient,
    jvp,
    make_per_sample_gradients,
    per_sample_gradient_norms,
    per_sample_gradients,
    value_and_grad,
)
from keras_reweight.core.testing.compare import assert_close
from tests.core.gradients.references import assert_unchanged, snapshot

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(5, 3)).astype("float32")
Y = GENERATOR.normal(size=(5, 2)).astype("float32")
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, -1.0], "float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def flat(gradients):
    """`(batch, number of weights)`."""
    return np.concatenate([numpy(g).reshape(len(g), -1) for g in gradients], axis=1)


def one_by_one(model, x, y, **named):
    """Gradients of batches of one."""
    rows = []
    for index in range(len(x)):
        part = slice(index, index + 1)
        _, gradients, _ = value_and_grad(model, x[part], y[part], **named)
        rows.append(np.concatenate([numpy(g).ravel() for g in gradients]))
    return np.stack(rows)


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="tanh")])
    model.compile("sgd", "mse", loss_weights=3.0)
    return model


@pytest.fixture(scope="module")
def expected(model):
    return one_by_one(model, X, Y)


def test_weights_multiply_the_samples(model, expected):
    expected = expected * WEIGHTS[:, None]
    found = per_sample_gradients(model, X, Y, sample_weight=WEIGHTS[:, None])
    assert_close(flat(found), expected, "weighted gradients")
    norms = per_sample_gradient_norms(model, X, Y, sample_weight=WEIGHTS)
    assert_close(numpy(norms), np.linalg.norm(expected, axis=1), "weighted norms")
    fisher = fisher_diagonal(model, X, Y, sample_weight=WEIGHTS)
    assert_close(
        np.concatenate([numpy(f).ravel() for f in fisher]), (expected**2).mean(0), "weighted fisher"
    )


def test_fisher_is_not_the_square_of_the_mean(model, expected):
    fisher = fisher_diagonal(model, X, Y)
    found = np.concatenate([numpy(part).ravel() for part in fisher])
    assert_close(found, (expected**2).mean(axis=0), "fisher")
    assert (found > expected.mean(axis=0) ** 2).all()


def test_chunks_change_nothing_and_show_progress(model, expected, capsys):
    found = per_sample_gradients(model, X, Y, batch_size=2, verbose=1)
    assert "chunk" in capsys.readouterr().out
    assert_close(flat(found), expected, "gradients")
    norms = per_sample_gradient_norms(model, X, Y, batch_size=2)
    assert_close(numpy(norms), np.linalg.norm(expected, axis=1), "norms")
    fisher = fisher_diagonal(model, X, Y, batch_size=2)
    found = np.concatenate([numpy(part).ravel() for part in fisher])
    assert_close(found, (expected**2).mean(axis=0), "fisher")
    vector = [np.ones(v.shape, "float32") for v in model.trainable_variables]
    _, derivatives = jvp(model, X, Y, vector, batch_size=2, verbose=1)
    assert_close(numpy(derivatives), expected.sum(axis=1), "jvp", of_largest=1e-5)
    capsys.readouterr()
    per_sample_gradients(model, X[:2], Y[:2], batch_size=None, verbose=1)
    assert "chunk" not in capsys.readouterr().out


def coupled(y_true, y_pred):
    """Values that depend on the whole batch."""
    squares = ops.sum(ops.square(y_true - y_pred), axis=-1)
    return squares * ops.stop_gradient(squares / ops.max(squares))


class CoupledCall(keras.losses.Loss):
    """The same, in an overridden `__call__`."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        return ops.sum(coupled(ops.convert_to_tensor(y_true), y_pred))


def scalar(y_true, y_pred):
    """Already reduced over the batch."""
    return ops.mean(ops.square(ops.sum(y_true - y_pred, axis=-1)))


@pytest.mark.parametrize("loss", [coupled, CoupledCall(), scalar], ids=["values", "call", "scalar"])
def test_losses_that_mix_samples_see_them_alone(model, loss):
    expected = one_by_one(model, X, Y, loss=loss)
    norms = per_sample_gradient_norms(model, X, Y, loss=loss, method="closed_form")
    assert_close(numpy(norms), np.linalg.norm(expected, axis=1), "norms")
    if loss is not coupled:
        return
    assert_close(flat(per_sample_gradients(model, X, Y, loss=loss)), expected, "gradients")
    vector = [np.ones(v.shape, "float32") for v in model.trainable_variables]
    _, derivatives = jvp(model, X, Y, vector, loss=loss)
    assert_close(numpy(derivatives), expected.sum(axis=1), "jvp", of_largest=1e-5)
    rows = [input_gradient(model, X[i : i + 1], Y[i : i + 1], loss=loss) for i in range(5)]
    found = input_gradient(model, X, Y, loss=loss)
    assert_close(numpy(found), np.concatenate([numpy(row) for row in rows]), "input")


def test_masks_and_weights_of_positions_count_within_a_sample():
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), layers.Embedding(4, 2, mask_zero=True), layers.Dense(1)]
    )
    x = np.array([[1, 2, 0], [3, 0, 0], [1, 1, 1]])
    y = GENERATOR.normal(size=(3, 3, 1)).astype("float32")
    weights = GENERATOR.uniform(size=(3, 3)).astype("float32")
    # The batches of one go through the masking, weighting and averaging of Keras.
    rows = [
        one_by_one(model, x[i : i + 1], y[i : i + 1], loss="mse", sample_weight=weights[i : i + 1])
        for i in range(3)
    ]
    named = {"loss": "mse", "sample_weight": weights}
    found = flat(per_sample_gradients(model, x, y, **named))
    assert_close(found, np.concatenate(rows), "gradients")
    norms = per_sample_gradient_norms(model, x, y, **named, method="closed_form")
    assert_close(numpy(norms), np.linalg.norm(found, axis=1), "norms")


def test_dropout_draws_one_mask_for_all_samples_and_nothing_is_written():
    inputs = keras.Input((3,))
    hidden = layers.Dropout(0.5, seed=1)(layers.Dense(16)(inputs))
    model = keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.5)(hidden)))
    before = snapshot(model)
    x, y = np.repeat(X[:1], 4, axis=0), np.zeros((4, 1), "float32")
    rows = flat(per_sample_gradients(model, x, y, loss="mse", training=True))
    np.testing.assert_array_equal(rows, np.repeat(rows[:1], 4, axis=0))
    assert (rows[0] == 0).any()
    again = flat(per_sample_gradients(model, x, y, loss="mse", training=True))
    np.testing.assert_array_equal(again, rows)
    norms = per_sample_gradient_norms(model, x, y, loss="mse", training=True)
    assert_close(numpy(norms), np.linalg.norm(rows, axis=1), "norms under dropout")
    assert_unchanged(model, before)


def test_recurrent_and_separable_layers_sample_by_sample():
    inputs = keras.Input((3, 3, 2))
    hidden = layers.SeparableConv2D(2, 2)(inputs)
    hidden = layers.SimpleRNN(2)(layers.Reshape((2, 4))(hidden))
    model = keras.Model(inputs, hidden)
    x = GENERATOR.normal(size=(3, 3, 3, 2)).astype("float32")
    y = GENERATOR.normal(size=(3, 2)).astype("float32")
    expected = one_by_one(model, x, y, loss="mse")
    assert_close(flat(per_sample_gradients(model, x, y, loss="mse")), expected, "gradients")
    vector = [np.ones(v.shape, "float32") for v in model.trainable_variables]
    _, derivatives = jvp(model, x, y, vector, loss="mse")
    assert_close(numpy(derivatives), expected.sum(axis=1), "jvp", of_largest=1e-5)


def test_a_function_that_cannot_be_vectorized_on_torch_is_looped():
    variable = keras.Variable(np.array([1.0, 2.0], "float32"))

    def branching(x):
        if keras.backend.backend() == "torch" and float(ops.sum(x)) < 0:
            return ops.sum(x * variable)
        return ops.sum(x * variable)

    x = np.array([[1.0, 2.0], [-3.0, 1.0]], "float32")
    (found,) = make_per_sample_gradients(branching, [variable])(x)
    assert_close(numpy(found), x, "rows")
    (total,) = make_per_sample_gradients(
        branching, [variable], reduce=lambda g: [ops.square(g[0])], total=True
    )(x)
    assert_close(numpy(total), (x**2).sum(axis=0), "sum of squares")


def test_reduce_and_nested_arguments():
    variable = keras.Variable(np.array([1.0, 2.0], "float32"))
    function = make_per_sample_gradients(
        lambda data, scale: ops.sum(data["x"] * variable) * scale[0],
        [variable],
        reduce=lambda gradients: ops.sum(gradients[0]),
    )
    found = function({"x": X[:, :2], "unused": None}, WEIGHTS)
    assert_close(numpy(found), X[:, :2].sum(axis=1) * WEIGHTS, "sums")
    with pytest.raises(ValueError, match="`fn` must return a scalar"):
        make_per_sample_gradients(lambda x: x * variable, [variable])(X[:, :2])
