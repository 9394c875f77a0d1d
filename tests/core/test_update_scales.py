import keras
import numpy as np

from keras_reweight.core.update_scales import UpdateScales

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")


def network(optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def test_factors_are_learning_rates():
    results = []
    for rate, factor in ((0.01, 2.0), (0.02, 1.0)):
        model = network(keras.optimizers.Adam(rate))
        scales = UpdateScales(model, [model.trainable_variables])
        scales.write(np.array([factor]))
        model.fit(X, X[:, 0], batch_size=4, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, rtol=2e-4, atol=1e-6)


def test_zero_holds_a_group_and_removing_frees_it():
    model = network(keras.optimizers.AdamW(0.1, weight_decay=0.5))
    scales = UpdateScales(model, [model.layers[0].variables, model.layers[1].variables])
    before = model.get_weights()
    scales.write(np.array([0.0, 1.0]))
    model.fit(X, X[:, 0], batch_size=4, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True, True]
    np.testing.assert_array_equal(scales.read(), [0.0, 1.0])
    scales.write(np.array([1.0, 0.0]))  # reaches the compiled step
    before = model.get_weights()
    model.fit(X, X[:, 0], batch_size=4, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [True, True, False, False]
    scales.remove()
    assert "apply" not in vars(model.optimizer)
    assert not any("scales" in variable.path for variable in model.optimizer.variables)
