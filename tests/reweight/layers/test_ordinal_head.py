"""OrdinalHead: its logits, its penalty, exact fusion, and rare classes."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr


def value(tensor):
    return ops.convert_to_numpy(ops.convert_to_tensor(tensor))


def reference(inputs, weights):
    psi, intercepts = weights
    found = np.zeros((*inputs.shape[:-1], len(intercepts)))
    kernel = np.zeros(inputs.shape[-1])
    for k in range(len(intercepts)):
        kernel = kernel + psi[k]
        found[..., k] = intercepts[k] + inputs @ kernel
    return found


def built(*arguments, **keywords):
    head = kr.layers.OrdinalHead(*arguments, **keywords)
    head.build((None, 2))
    head.differences.assign(np.array([[0.5, -1.0], [-0.25, 0.125]], "float32"))
    return head


def test_two_samples_by_hand():
    head = built(3)
    head.intercepts.assign(np.array([1.0, 2.0], "float32"))
    found = value(head(np.array([[2.0, 0.0], [0.0, 4.0]], "float32")))
    np.testing.assert_allclose(found, [[2.0, 2.5], [-3.0, -1.5]])


def test_first_intercepts_give_the_shares_of_the_classes():
    for counts, shares in (([20, 10, 2], [0.625, 0.3125, 0.0625]), (None, [1 / 3] * 3)):
        head = kr.layers.OrdinalHead(3, class_counts=counts)
        logits = head(np.ones((1, 2), "float32"))
        found = value(kr.functional.ordinal_probabilities(logits))[0]
        np.testing.assert_allclose(found, shares, rtol=1e-5)


def test_penalty_is_a_loss_term():
    assert float(value(built(3, penalty=2.0).losses[0])) == pytest.approx(2 * 1.875)
    assert float(value(built(3, penalty=2.0, penalize_first=False).losses[0])) == pytest.approx(
        2 * 0.375
    )
    assert not built(3, penalty=0.0).losses
    assert not built(3, penalty=2.0, proximal_rate=0.1).losses


@pytest.mark.parametrize("first", [True, False])
def test_proximal_steps_are_proximal_gradient_descent(first):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)).astype("float32"), rng.integers(0, 3, size=30)
    rate, penalty = 0.1, 0.05
    head = kr.layers.OrdinalHead(3, penalty=penalty, penalize_first=first, proximal_rate=rate)
    weights = []
    for layer in (head, kr.layers.OrdinalHead(3, penalty=0.0)):
        model = keras.Sequential([keras.Input((2,)), layer])
        layer.differences.assign(np.array([[0.5, -0.002], [0.003, 0.4]], "float32"))
        model.compile(keras.optimizers.SGD(rate), kr.losses.OrdinalCrossentropy(3))
        model.fit(x, y, batch_size=30, verbose=0)
        weights.append(value(layer.differences))
    moved = weights[1].astype("float64")
    shrunk = np.sign(moved) * np.maximum(np.abs(moved) - rate * penalty, 0)
    if not first:
        shrunk[0] = moved[0]
    np.testing.assert_allclose(weights[0], shrunk, rtol=1e-5, atol=1e-7)


def test_a_large_penalty_fuses_the_boundaries_exactly():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2)).astype("float32")
    y = np.digitize(x[:, 0] + 0.3 * rng.normal(size=60), [-0.5, 0.5])
    head = kr.layers.OrdinalHead(3, penalty=0.5, penalize_first=False, proximal_rate=0.1)
    model = keras.Sequential([keras.Input((2,)), head])
    model.compile(keras.optimizers.SGD(0.1), kr.losses.OrdinalCrossentropy(3))
    model.fit(x, y, epochs=10, verbose=0)
    differences = value(head.differences)
    np.testing.assert_array_equal(differences[1], 0.0)
    assert np.abs(differences[0]).max() > 0.1


def test_an_initializer_object_survives_the_config():
    head = kr.layers.OrdinalHead(3, initializer=keras.initializers.Constant(0.25))
    twin = kr.layers.OrdinalHead.from_config(head.get_config())
    twin.build((None, 2))
    np.testing.assert_array_equal(value(twin.differences), 0.25)


def test_class_counts_of_another_length():
    with pytest.raises(ValueError, match="class_counts"):
        kr.layers.OrdinalHead(3, class_counts=[5, 5])
