"""BalancedBatches: the share of positives, the length of an epoch, orders."""

import keras
import numpy as np
import pytest

import keras_reweight as kr

X = np.arange(23, dtype="float32")[:, None]
Y = (np.arange(23) % 5 == 0).astype("int32")  # five positives


def rows(batches):
    return [batches[i] for i in range(len(batches))]


@pytest.mark.parametrize(
    ("batch_size", "rate", "positives"), [(8, 0.25, 2), (6, 0.5, 3), (4, 0.01, 1), (4, 0.99, 3)]
)
def test_every_batch_has_the_same_share(batch_size, rate, positives):
    batches = kr.data.BalancedBatches(X, Y, batch_size=batch_size, sampling_rate=rate)
    for x, y in rows(batches):
        assert len(x) == batch_size and y.sum() == positives
        np.testing.assert_array_equal(Y[x[:, 0].astype(int)], y)


def test_an_epoch_sees_every_sample_and_repeats_evenly():
    batches = kr.data.BalancedBatches(X, Y, batch_size=6, sampling_rate=0.5)
    assert len(batches) == 6  # 18 negatives, three in a batch
    seen = np.bincount(np.concatenate([x for x, _ in rows(batches)]).ravel().astype(int))
    assert (seen[Y == 0] == 1).all()
    assert seen[Y == 1].sum() == 18 and seen[Y == 1].max() - seen[Y == 1].min() <= 1


def test_orders_are_a_function_of_seed_and_epoch():
    first, same, other = (kr.data.BalancedBatches(X, Y, batch_size=8, seed=s) for s in (0, 0, 1))
    begin = np.concatenate([x for x, _ in rows(first)])
    np.testing.assert_array_equal(begin, np.concatenate([x for x, _ in rows(same)]))
    assert (begin != np.concatenate([x for x, _ in rows(other)])).any()
    first.on_epoch_end()
    later = np.concatenate([x for x, _ in rows(first)])
    assert (begin != later).any()
    same.on_epoch_end()
    np.testing.assert_array_equal(later, np.concatenate([x for x, _ in rows(same)]))


def test_structures_and_weights_are_indexed_together():
    x = {"a": X, "b": [X + 1.0]}
    batches = kr.data.BalancedBatches(x, Y[:, None], batch_size=4, sample_weight=X[:, 0])
    found, y, weight = batches[1]
    np.testing.assert_array_equal(found["a"] + 1.0, found["b"][0])
    np.testing.assert_array_equal(found["a"][:, 0], weight)
    assert y.shape == (4, 1)


def test_trains_with_sample_weights():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", kr.losses.AUCMarginLoss())
    batches = kr.data.BalancedBatches(X / 23.0, Y, batch_size=4, sample_weight=X[:, 0] + 1.0)
    history = model.fit(batches, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()


def test_a_batch_outside_the_epoch_is_an_error():
    with pytest.raises(IndexError):
        kr.data.BalancedBatches(X, Y)[1000]
