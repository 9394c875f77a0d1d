"""curvature_edit: the vectors of the official function, and the formula."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.editing import KroneckerFactors, curvature_edit
from keras_reweight.editing.curvature_edit import _largest
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.editing.test_kronecker_factors import make
from tests.reweight.signatures import models


def reference(model, factors, keep, select):
    """By hand: all pairs one after the other until their share is reached; deltas of kernels."""
    found = []
    for index in factors.indices:
        kernel = read_weights(model)[index].astype("float64")
        (u_a, a, _), (u_g, g, _) = (np.linalg.svd(factor) for factor in factors.factors[index])
        c = u_a.T @ kernel @ u_g
        kept = np.zeros_like(c)
        if select == "sides":
            for i in range(_rank(a, keep)):
                for j in range(_rank(g, keep)):
                    kept[i, j] = c[i, j]
        else:
            mass = {(i, j): a[i] * g[j] for i in range(len(a)) for j in range(len(g))}
            if select == "energy":
                mass = {place: value * c[place] ** 2 for place, value in mass.items()}
            total = 0.0
            for place in sorted(mass, key=mass.get, reverse=True):
                if total >= keep * sum(mass.values()):
                    break
                total += mass[place]
                kept[place] = c[place]
        found.append(u_a @ kept @ u_g.T - kernel)
    return found


def _rank(values, keep):
    count = 0
    while values[:count].sum() < keep * values.sum():
        count += 1
    return count


def test_pairs_of_the_official_function():
    mass = np.outer([3.0, 1.0], [4.0, 2.0, 1.0])
    kept = _largest(mass.ravel(), 0.8).reshape(2, 3)
    assert sorted(zip(*np.nonzero(kept), strict=True)) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert mass[kept].sum() == 25.0
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, use_bias=False)])
    model.weights[0].assign(np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]))
    factors = KroneckerFactors(
        Architecture.of(model), {0: (np.diag([3.0, 1.0]), np.diag([4.0, 2.0, 1.0]))}
    )
    # The kernel of Keras is the transposed weight of the official code.
    with curvature_edit(model, factors, keep=0.78).patched(model):
        np.testing.assert_array_equal(read_weights(model)[0], [[1.0, 3.0, 0.0], [2.0, 0.0, 0.0]])


@pytest.mark.parametrize("select", ["pairs", "sides", "energy"])
def test_formula(select):
    model, factors = models.dense(), make()
    patch = curvature_edit(model, factors, keep=0.7, select=select)
    for index, expected in zip(
        factors.indices, reference(model, factors, 0.7, select), strict=True
    ):
        np.testing.assert_allclose(patch.delta(index), expected, atol=1e-10)
    assert patch.kind == "curvature_edit" and patch.indices == factors.indices


def test_everything_and_one_layer():
    model, factors = models.dense(), make()
    whole = curvature_edit(model, factors, keep=1.0)
    assert not whole.delta(0).any() and not whole.delta(2).any()
    one = curvature_edit(model, factors, keep=0.5, layers="second")
    assert one.paths == ("second/kernel",)
    np.testing.assert_array_equal(one.delta(2), curvature_edit(model, factors, keep=0.5).delta(2))


def test_bfloat16_weights():
    """The removed part is computed from the stored weights and rounded once, in the patcher."""
    model, factors = models.dense(), make()
    half = models.dense(dtype="bfloat16")
    half_factors = KroneckerFactors(Architecture.of(half), factors.factors)
    patch = curvature_edit(half, half_factors, keep=0.7)
    for index, expected in zip(
        factors.indices, reference(half, half_factors, 0.7, "pairs"), strict=True
    ):
        np.testing.assert_allclose(patch.delta(index), expected, atol=1e-10)
    with pytest.raises(ValueError, match="another architecture"):
        curvature_edit(model, half_factors)


def test_what_cannot_be_edited_is_refused():
    model = models.dense()
    with pytest.raises(ValueError, match="no curvature"):
        curvature_edit(model, make(factors={0: (np.eye(3), np.zeros((5, 5)))}))
    with pytest.raises(ValueError, match="head"):
        curvature_edit(model, make(), layers="head")
    with pytest.raises(ValueError, match="no kernel"):
        curvature_edit(model, make(factors={1: (np.eye(5), np.eye(1))}))
