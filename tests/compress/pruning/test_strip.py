import keras
import numpy as np
import pytest

from keras_compress.callbacks import KeepSparsity, MagnitudePruning
from keras_compress.pruning import prune_magnitude, strip
from tests.compress.pruning.models import Interrupt, fit, num_zeros, sequential, weights


def test_an_interrupted_fit_is_cleaned_up():
    model = sequential(keras.optimizers.Adam(0.1, use_ema=True))
    count = len(model.optimizer.variables)
    with pytest.raises(KeyboardInterrupt):
        fit(model, MagnitudePruning(0.5), Interrupt(epoch=0))
    kernel = model.layers[0].kernel
    assert kernel.constraint is not None
    assert strip(model) is model
    assert kernel.constraint is None
    assert num_zeros(model) == 35
    built = {variable.path for variable in model.optimizer.variables}
    assert not any("mask" in path or "origin" in path for path in built)
    before = weights(model)
    strip(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))
    assert len(model.optimizer.variables) >= count


def test_a_plain_model_is_left_alone():
    model = sequential()
    prune_magnitude(model, 0.5)
    before, function = weights(model), model.train_function
    assert strip(model) is model
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))
    assert model.train_function is function


def test_training_goes_on_after_strip():
    model = sequential()
    with pytest.raises(KeyboardInterrupt):
        fit(model, MagnitudePruning(0.5), Interrupt(epoch=0))
    fit(strip(model), KeepSparsity())
    assert num_zeros(model) == 35


def test_not_a_model():
    with pytest.raises(TypeError, match="keras.Model"):
        strip(keras.layers.Dense(2))
