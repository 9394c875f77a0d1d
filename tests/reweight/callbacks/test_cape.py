"""CaPE: which epochs are soft, what their labels are, and what it leaves behind."""

import copy

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.functional.test_empirical_probability_targets import reference as targets

X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
Y = (np.random.default_rng(1).uniform(size=20) < 0.5).astype("float32")
KERNEL = np.array([[0.7], [-1.1], [0.4]], "float32")


def make(from_logits=False, learning_rate=0.5):
    keras.utils.set_random_seed(0)
    activation = None if from_logits else "sigmoid"
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation=activation)])
    model.layers[0].kernel.assign(KERNEL)
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    return model


class Labels(keras.callbacks.Callback):
    def __init__(self, dataset):
        super().__init__()
        self.dataset, self.seen = dataset, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.dataset.labels)


def epochs(count, from_logits=False, learning_rate=0.5, **arguments):
    dataset = kr.data.SoftLabelDataset(X, Y, batch_size=8)
    labels = Labels(dataset)
    model = make(from_logits, learning_rate)
    cape = kr.callbacks.CaPE(dataset, from_logits=from_logits, **arguments)
    history = model.fit(dataset, epochs=count, verbose=0, callbacks=[cape, labels])
    np.testing.assert_array_equal(dataset.labels, Y)
    return model, labels.seen, history.history["loss"]


def test_soft_epochs_come_with_the_period():
    _, seen, _ = epochs(5, period=3, num_bins=4)
    soft = [not np.array_equal(labels, Y) for labels in seen]
    assert soft == [True, False, False, True, False]


@pytest.mark.parametrize("from_logits", [False, True])
def test_labels_are_those_of_the_present_predictions(from_logits):
    options = {"method": "kde", "bandwidth": 0.1, "window": 4}
    _, seen, _ = epochs(1, from_logits=from_logits, **options)
    probability = 1 / (1 + np.exp(-(X.astype("float64") @ KERNEL)[:, 0]))
    np.testing.assert_allclose(seen[0], targets(probability, Y, **options), rtol=1e-4, atol=1e-5)


def test_the_step_trains_on_the_soft_labels():
    _, seen, loss = epochs(2, learning_rate=0.0, period=2, num_bins=3)
    p = 1 / (1 + np.exp(-(X.astype("float64") @ KERNEL)[:, 0]))
    for labels, found in zip(seen, loss, strict=True):
        expected = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_stays_closer_to_the_middle_than_training_on_outcomes():
    def confidence(model):
        return float(np.abs(model.predict(X, verbose=0) - 0.5).mean())

    dataset = kr.data.SoftLabelDataset(X, X @ KERNEL[:, 0] > 0, batch_size=8)
    calibrated, plain = make(), make()
    # One bin: every soft epoch pulls towards the base rate.
    cape = kr.callbacks.CaPE(dataset, period=1, num_bins=1)
    calibrated.fit(dataset, epochs=3, verbose=0, callbacks=[cape])
    plain.fit(dataset, epochs=3, verbose=0)
    assert confidence(calibrated) < confidence(plain) - 0.1


def test_another_dataset_in_fit_is_noticed():
    cape = kr.callbacks.CaPE(kr.data.SoftLabelDataset(X, Y))
    with pytest.raises(ValueError, match="dataset"):
        make().fit(X, Y, verbose=0, callbacks=[cape])


def test_wrong_models():
    dataset = kr.data.SoftLabelDataset(X, Y)
    with pytest.raises(ValueError, match="from_logits"):
        make(True).fit(dataset, verbose=0, callbacks=[kr.callbacks.CaPE(dataset)])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    dataset = kr.data.SoftLabelDataset(X, np.stack([Y, Y], axis=1))
    with pytest.raises(ValueError, match="one output"):
        model.fit(dataset, verbose=0, callbacks=[kr.callbacks.CaPE(dataset)])


def test_a_copy_shares_the_dataset():
    cape = kr.callbacks.CaPE(kr.data.SoftLabelDataset(X, Y), period=4)
    twin = copy.deepcopy(cape)
    assert twin.dataset is cape.dataset and twin.period == 4


def test_no_dataset():
    with pytest.raises(TypeError, match="dataset"):
        kr.callbacks.CaPE((X, Y))
