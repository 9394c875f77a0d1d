import keras
import numpy as np
import pytest

from keras_reweight.signatures import WeightSnapshot, weight_digest
from tests.reweight.signatures import models


@pytest.mark.parametrize("kind", models.KINDS)
def test_restores_bit_for_bit(kind):
    model = models.build(kind)
    snapshot = WeightSnapshot(model)
    before = weight_digest(model)
    models.randomized(model, seed=1)
    assert weight_digest(model) != before
    assert snapshot.digest() == before
    snapshot.restore(model)
    assert weight_digest(model) == before


def test_restores_after_training():
    model = models.dense()
    snapshot = WeightSnapshot(model)
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert weight_digest(model) != snapshot.digest()
    snapshot.restore(model)
    assert weight_digest(model) == snapshot.digest()


def test_restores_into_another_model_of_the_same_architecture():
    first, second = models.dense(0), models.dense(1)
    WeightSnapshot(first).restore(second)
    assert weight_digest(first) == weight_digest(second)


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        WeightSnapshot(models.dense()).arrays[0][:] = 0.0


def test_another_architecture_is_refused_untouched():
    model = models.dense(units=6)
    before = weight_digest(model)
    with pytest.raises(ValueError, match="The snapshot is of another architecture: weight 2"):
        WeightSnapshot(models.dense()).restore(model)
    assert weight_digest(model) == before


def test_refuses_what_is_no_built_model():
    with pytest.raises(TypeError, match="`model`"):
        WeightSnapshot(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="not built"):
        WeightSnapshot(keras.Sequential([keras.layers.Dense(1)]))
