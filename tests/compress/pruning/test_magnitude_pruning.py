import json
import zipfile

import keras
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.callbacks import MagnitudePruning
from keras_compress.pruning import prune_magnitude
from keras_compress.schedules import PolynomialDecay
from tests.compress.pruning.models import Spy, X, Y, fit, kernels, num_zeros, sequential

L = keras.layers
JITTED = keras.backend.backend() != "torch"


class Counted(L.Layer):
    """Counts how often Python runs it: once for each trace where the step is compiled."""

    calls = 0

    def call(self, inputs):
        Counted.calls += 1
        return inputs


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_prunes_the_weights_that_prune_magnitude_prunes(scope):
    model, other, spy = sequential(), sequential(), Spy(kernels)
    pruning = MagnitudePruning(0.7, scope=scope, min_keep=0.02)
    fit(model, pruning, spy)
    report = prune_magnitude(other, 0.7, scope=scope, min_keep=0.02)
    for one, two in zip(spy.batches[0], kernels(other), strict=True):
        np.testing.assert_array_equal(one, two)
    masks = zip(pruning.masks.values(), report.masks.values(), kernels(model), strict=True)
    for mask, expected, kernel in masks:
        np.testing.assert_array_equal(mask, expected)
        assert (kernel[~mask] == 0.0).all() and (kernel[mask] != 0.0).any()
    assert list(pruning.report.touched.values()) == list(report.touched.values()) == [60, 10]
    assert list(pruning.masks) == list(pruning.report.touched)


def test_no_new_trace_between_mask_updates():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), L.Dense(10), Counted(), L.Dense(1)])
    model.compile("adam", "mse")
    fit(model)  # a step traced without masks must not be used again
    spy = Spy(lambda model: Counted.calls)
    ramp = PolynomialDecay(0.0, 0.9, end_step=11)
    fit(model, MagnitudePruning(ramp, frequency=2), spy, epochs=2)
    assert num_zeros(model) == 63
    first, later = spy.batches[1], spy.batches[2:]
    assert first > spy.batches[0]
    assert later == ([first] * 10 if JITTED else list(range(first + 1, first + 11)))


class Net(keras.Model):
    """Subclassed, around a functional model with a nested one and a shared layer."""

    def __init__(self):
        super().__init__()
        tokens = keras.Input((3,), dtype="int32")
        x = L.Embedding(7, 6)(tokens)
        x = L.SimpleRNN(6, return_sequences=True, unroll=True)(x)
        shared = L.Dense(6)
        block = [keras.Input((3, 6)), L.SeparableConv1D(5, 2), L.LayerNormalization()]
        self.inner = keras.Model(tokens, L.Flatten()(keras.Sequential(block)(shared(shared(x)))))
        self.scale = self.add_weight(shape=(10, 1), name="kernel", initializer="glorot_uniform")

    def call(self, inputs):
        return self.inner(inputs) @ self.scale


def test_nested_recurrent_shared_and_subclassed():
    keras.utils.set_random_seed(0)
    model = Net()
    tokens = np.random.default_rng(0).integers(0, 7, (8, 3))
    model.build((None, 3))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    pruning = MagnitudePruning(0.6, min_keep=0.01)
    model.fit(tokens, Y[:8], batch_size=4, verbose=0, callbacks=[pruning])
    total = sum(pruning.report.touched.values())
    assert len(pruning.masks) == len(pruning.report.touched) == 6
    assert sum((~mask).sum() for mask in pruning.masks.values()) == round(0.6 * total)
    assert num_zeros(model) == round(0.6 * total)


def test_unbuilt_models_are_built_by_fit_or_refused():
    model = keras.Sequential([L.Dense(10), L.Dense(1)])
    model.compile("adam", "mse")
    if keras.backend.backend() == "tensorflow":
        # Keras builds such a model only while it traces the first step there.
        with pytest.raises(ValueError, match="magnitude_pruning.*not built"):
            fit(model, MagnitudePruning(0.5))
        model.build((None, 6))
    fit(model, MagnitudePruning(0.5))
    assert num_zeros(model) == 35


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_low_precision(dtype):
    keras.utils.set_random_seed(0)
    policy = keras.DTypePolicy(dtype)
    model = sequential(dtype=policy)
    if dtype == "mixed_float16":
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "mse")
    pruning = MagnitudePruning(0.5, begin_step=2)
    fit(model, pruning)
    assert sum((~mask).sum() for mask in pruning.masks.values()) == 35
    assert all(
        (k[~m] == 0).all() for k, m in zip(kernels(model), pruning.masks.values(), strict=True)
    )
    assert model.layers[0].kernel.dtype == ("bfloat16" if dtype == "bfloat16" else "float32")


def test_moving_averages_keep_the_zeros():
    seen = []

    class Look(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            seen.append(num_zeros(self.model))

    model = sequential(keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9))
    swap = keras.callbacks.SwapEMAWeights()
    pruning = MagnitudePruning(0.5, begin_step=3)
    fit(model, pruning, swap, Look(), validation_data=(X, Y))
    # While the averages stand in for the weights, and when they have replaced them for good.
    assert seen == [35]
    assert num_zeros(model) == 35


def test_saved_model_knows_nothing_of_us(tmp_path):
    path = tmp_path / "model.keras"
    model = sequential()
    fit(model, MagnitudePruning(0.9))
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "metadata.json"):
            text = archive.read(name).decode()
            assert json.loads(text)
            assert "keras_compress" not in text and "keras_reweight" not in text
    loaded = keras.models.load_model(path)
    assert num_zeros(loaded) == 63
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


def test_own_train_loop():
    model = sequential()
    callbacks = keras.callbacks.CallbackList([MagnitudePruning(0.5, begin_step=2)], model=model)
    callbacks.on_train_begin()
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        for batch in range(3):
            callbacks.on_train_batch_begin(batch)
            model.train_on_batch(X[:4], Y[:4])
            callbacks.on_train_batch_end(batch)
        logs = {}
        callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end()
    assert num_zeros(model) == 35
    assert model.layers[0].kernel.constraint is None


def test_config_round_trip():
    pruning = MagnitudePruning(
        PolynomialDecay(0.1, 0.9, end_step=50), scope="layer", min_keep=0.01, frequency=7
    )
    config = keras.saving.serialize_keras_object(pruning)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == pruning.get_config()
    assert (again.sparsity, again.scope, again.min_keep) == (pruning.sparsity, "layer", 0.01)
    assert again.name == "magnitude_pruning"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 1.0}, ValueError, "sparsity"),
        ({"sparsity": None}, TypeError, "sparsity"),
        ({"sparsity": 0.5, "scope": "channel"}, ValueError, "scope"),
        ({"sparsity": 0.5, "min_keep": 1.0}, ValueError, "min_keep"),
        ({"sparsity": 0.5, "begin_step": 0.5}, TypeError, "begin_step"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        MagnitudePruning(**arguments)


def test_quantization_aware_models_are_pruned_in_their_float_weights():
    model = kc.quantize_aware(sequential(), weights=4)
    model.compile("adam", "mse")
    pruning = MagnitudePruning(0.5)
    fit(model, pruning)
    assert list(pruning.report.touched.values()) == [60, 10]
    assert num_zeros(model) == 35
    # Zero is a point of the grid, so quantization keeps every zero (and may add some).
    frozen = kernels(kc.freeze(model))
    for kernel, mask in zip(frozen, pruning.masks.values(), strict=True):
        assert (kernel[~mask] == 0.0).all()
