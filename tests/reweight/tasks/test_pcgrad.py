"""Gradient surgery from inner products alone."""

import numpy as np
from keras import ops

import keras_reweight as kr


def statistics(gradients, step=0):
    gradients = np.asarray(gradients, "float32")
    gram = ops.convert_to_tensor(gradients @ gradients.T)
    losses = ops.ones((len(gradients),))
    return kr.tasks.TaskStatistics(losses, gram, None, None, ops.cast(step, "int32"), 0)


def weights(gradients, **options):
    found, _ = kr.tasks.PCGrad(**options).weights(statistics(gradients), {})
    return ops.convert_to_numpy(found)


def reference_update(gradients, orders):
    """With the vectors themselves, as in the paper."""
    gradients = np.asarray(gradients, "float64")
    total = np.zeros(gradients.shape[1])
    for i, order in enumerate(orders):
        g = gradients[i].copy()
        for j in order:
            if j != i and g @ gradients[j] < 0.0:
                g -= g @ gradients[j] / (gradients[j] @ gradients[j]) * gradients[j]
        total += g
    return total


def test_the_known_pair():
    gradients = np.array([[1.0, 0.0], [-1.0, 1.0]])
    np.testing.assert_allclose(weights(gradients), [2.0, 1.5], rtol=1e-6)
    np.testing.assert_allclose(weights(gradients) @ gradients, [0.5, 1.5], rtol=1e-6)


def test_without_conflict_it_is_the_sum():
    np.testing.assert_allclose(weights([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]), np.ones(3))


def test_every_order_is_that_of_the_paper_for_some_orders():
    rng = np.random.default_rng(3)
    gradients = rng.normal(size=(3, 4))
    gradients[2] -= gradients[0] + gradients[1]
    pairs = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    possible = np.array(
        [reference_update(gradients, (a, b, c)) for a in pairs for b in pairs for c in pairs]
    )
    seen = set()
    for seed in range(8):
        found = weights(gradients, seed=seed) @ gradients
        distances = np.abs(possible - found).max(axis=1)
        assert distances.min() < 1e-5
        seen.add(tuple(np.round(found, 4)))
    assert len(seen) > 1


def test_gradients_of_zero_do_no_harm():
    found = weights([[0.0, 0.0], [1.0, -1.0]])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found @ [[0.0, 0.0], [1.0, -1.0]], [1.0, -1.0])
