"""SoftLabelDataset: batches, order, and that replaced labels are the ones that train."""

import keras
import numpy as np
import pytest

import keras_reweight as kr

X = np.arange(10, dtype="float32").reshape(5, 2)
Y = np.array([0, 1, 0, 1, 1])


def batches(dataset):
    return [dataset[index] for index in range(len(dataset))]


def test_every_sample_once_with_its_label_and_weight():
    weight = np.arange(5, dtype="float32")
    dataset = kr.data.SoftLabelDataset(X, Y, batch_size=2, sample_weight=weight)
    assert len(dataset) == 3
    x, y, w = (np.concatenate(parts) for parts in zip(*batches(dataset), strict=True))
    ids = (x[:, 0] / 2).astype(int)
    assert sorted(ids) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(y, Y[ids])
    np.testing.assert_array_equal(w, weight[ids])
    with pytest.raises(IndexError):
        dataset[3]


def test_order_changes_between_epochs_only_if_asked():
    for shuffle in (True, False):
        dataset = kr.data.SoftLabelDataset(X, Y, batch_size=5, shuffle=shuffle)
        orders = []
        for _ in range(3):
            orders.append(dataset[0][0][:, 0].tolist())
            assert orders[-1] == dataset[0][0][:, 0].tolist()
            dataset.on_epoch_end()
        assert (orders[0] != orders[1] or orders[1] != orders[2]) == shuffle
    same = kr.data.SoftLabelDataset(X, Y, batch_size=5)
    again = kr.data.SoftLabelDataset(X, Y, batch_size=5)
    np.testing.assert_array_equal(same[0][0], again[0][0])


def test_labels_are_replaced_and_brought_back():
    dataset = kr.data.SoftLabelDataset(X, Y, shuffle=False)
    soft = np.linspace(0, 1, 5)
    dataset.set_labels(soft)
    soft[:] = 9
    np.testing.assert_allclose(dataset[0][1], np.linspace(0, 1, 5), rtol=1e-6)
    np.testing.assert_array_equal(dataset.hard_labels, Y)
    dataset.labels[:] = 7
    np.testing.assert_allclose(dataset.labels, np.linspace(0, 1, 5), rtol=1e-6)
    dataset.reset_labels()
    np.testing.assert_array_equal(dataset[0][1], Y)
    with pytest.raises(ValueError, match="labels"):
        dataset.set_labels(np.zeros(4))


def test_fit_sees_the_labels_of_the_present_epoch():
    dataset = kr.data.SoftLabelDataset({"a": X}, Y.astype("float32")[:, None], batch_size=2)
    inputs = keras.Input((2,), name="a")
    outputs = keras.layers.Dense(1, kernel_initializer="zeros")(inputs)
    model = keras.Model({"a": inputs}, outputs)
    model.compile(keras.optimizers.SGD(0.0), "mse")

    class Replace(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            dataset.set_labels(np.full((5, 1), float(epoch + 1)))

    history = model.fit(dataset, epochs=3, verbose=0, callbacks=[Replace()])
    np.testing.assert_allclose(history.history["loss"], [1.0, 4.0, 9.0], rtol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="x"):
        kr.data.SoftLabelDataset(X[:3], Y)
    with pytest.raises(ValueError, match="sample_weight"):
        kr.data.SoftLabelDataset(X, Y, sample_weight=np.ones(3))
    with pytest.raises(TypeError, match="y"):
        kr.data.SoftLabelDataset(X, ["a"] * 5)
