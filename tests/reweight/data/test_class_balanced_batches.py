"""ClassBalancedBatches: what a batch holds, and that epochs differ but can be repeated."""

import keras
import numpy as np
import pytest

import keras_reweight as kr

Y = np.repeat(np.arange(5), [12, 12, 12, 3, 12])
X = np.arange(len(Y), dtype="float32")[:, None]


def batches(x=X, y=Y, **arguments):
    arguments = {"classes_per_batch": 3, "samples_per_class": 4, **arguments}
    return kr.data.ClassBalancedBatches(x, y, **arguments)


def test_every_batch_holds_classes_and_samples_as_asked():
    found = batches()
    assert len(found) == 51 // 12
    for index in range(len(found)):
        x, y = found[index]
        assert x.shape == (12, 1)
        np.testing.assert_array_equal(Y[x[:, 0].astype(int)], y)
        labels, numbers = np.unique(y, return_counts=True)
        assert len(labels) == 3 and (numbers == 4).all()
        for label in labels:
            chosen = x[y == label, 0]
            assert len(set(chosen)) == (3 if label == 3 else 4)


def test_classes_and_samples_come_again_only_when_all_were_drawn():
    found = batches(batches_per_epoch=10)
    seen = np.concatenate([np.unique(found[index][1]) for index in range(10)])
    np.testing.assert_array_equal(np.bincount(seen), [6] * 5)
    chosen = np.concatenate([found[index][0][:, 0] for index in range(10)]).astype(int)
    times = np.bincount(chosen, minlength=len(Y))
    np.testing.assert_array_equal(times[Y != 3], 2)  # six draws of four from twelve


def test_epochs_differ_and_a_seed_repeats_them():
    first, second, other = batches(), batches(), batches(seed=1)
    for _ in range(2):
        epoch = [first[index][0] for index in range(4)]
        np.testing.assert_array_equal(epoch, [second[index][0] for index in range(4)])
        assert not np.array_equal(epoch, [other[index][0] for index in range(4)])
        first.on_epoch_end()
        second.on_epoch_end()
        assert not np.array_equal(epoch, [first[index][0] for index in range(4)])


def test_inputs_may_be_dicts_and_tuples():
    x, y = batches({"a": X, "b": (X + 1, X[:, 0])})[0]
    np.testing.assert_array_equal(x["a"] + 1, x["b"][0])
    np.testing.assert_array_equal(x["a"][:, 0], x["b"][1])
    assert y.shape == (12,)


def test_labels_keep_their_form():
    np.testing.assert_array_equal(batches(y=Y[:, None])[0][1][:, 0], batches()[0][1])
    np.testing.assert_array_equal(batches(y=np.eye(5)[Y])[0][1].argmax(1), batches()[0][1])


def test_ids_travel_with_the_targets():
    x, y = batches(sample_id=np.arange(len(Y)) + 100)[0]
    np.testing.assert_array_equal(y["sample_id"], x[:, 0] + 100)
    np.testing.assert_array_equal(y["targets"], Y[x[:, 0].astype(int)])


def test_fit_reshuffles_every_epoch():
    seen = []

    class Recorded(kr.data.ClassBalancedBatches):
        def on_epoch_end(self):
            seen.append(np.stack([self[index][0] for index in range(len(self))]))
            super().on_epoch_end()

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model.compile("sgd", kr.losses.MultiSimilarityLoss())
    recorded = Recorded(X, Y, classes_per_batch=3, samples_per_class=4)
    model.fit(recorded, epochs=3, verbose=0)
    assert len(seen) >= 3
    expected = batches()
    for earlier, later in zip(seen, seen[1:], strict=False):
        np.testing.assert_array_equal(earlier, np.stack([expected[i][0] for i in range(4)]))
        assert not np.array_equal(earlier, later)
        expected.on_epoch_end()


def test_bad_arguments():
    with pytest.raises(ValueError, match="classes_per_batch"):
        batches(classes_per_batch=6)
    with pytest.raises(ValueError, match="length"):
        batches(x=X[:-1])
    with pytest.raises(ValueError, match="sample_id"):
        batches(sample_id=np.arange(3))
