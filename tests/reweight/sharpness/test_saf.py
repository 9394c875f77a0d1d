"""Agreement with the predictions of past epochs, in NumPy for a linear model."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta import models

RATE, BATCH, CLASSES = 0.2, 3, models.CLASSES
ARGUMENTS = {
    "num_samples": 8,
    "weight": 2.0,
    "temperature": 3.0,
    "delay": 2,
    "start_epoch": 1,
    "end_epoch": 4,
}
_DRAWS = np.random.default_rng(4)
#: The samples that the epochs show: in other orders, and some of them not always.
ORDERS = [_DRAWS.permutation(8)[: 7 if epoch in (1, 2) else 8] for epoch in range(5)]
ROWS = np.array([6, 1, 4])
#: The same few in every epoch.
EVEN = [ROWS] * 4


def reference(weight, temperature, delay, start_epoch, end_epoch, orders=EVEN, sample_weight=1.0):
    """Kernel and bias after the epochs."""
    kernel, bias = models.KERNEL.astype("float64"), models.BIAS
    weights = np.ones(8) * sample_weight
    past = {}
    for epoch, order in enumerate(orders):
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            x = models.X[rows].astype("float64")
            logits = x @ kernel + bias
            delta = models.probabilities(x, kernel, bias) - np.eye(CLASSES)[models.Y[rows]]
            for place, row in enumerate(rows):
                then = past.get((row, epoch - delay))
                if then is not None and start_epoch <= epoch < (end_epoch or np.inf):
                    p, q = softmax(then / temperature), softmax(logits[place] / temperature)
                    # T^2 * (1 / T) * (softmax - target)
                    delta[place] += weight * temperature * (q - p)
                past[row, epoch] = logits[place]
            delta *= weights[rows][:, None] / len(rows)
            kernel, bias = kernel - RATE * x.T @ delta, bias - RATE * delta.sum(axis=0)
    return [kernel, bias]


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def prepare(trainer, compiled=False):
    if not trainer.compiled:
        trainer.compile(keras.optimizers.SGD(RATE), models.loss(), **models.steps(compiled))


def train(trainer, epochs=(0, 4), packed=None, sample_weight=None):
    """Kernel and bias after epochs with the same few samples."""
    prepare(trainer)
    weight = None if packed is None else packed[ROWS]
    y = kr.data.pack_targets(models.Y[ROWS], sample_id=ROWS, weight=weight)
    given = {} if sample_weight is None else {"sample_weight": sample_weight[ROWS]}
    options = {"initial_epoch": epochs[0], "epochs": epochs[1], "shuffle": False, "verbose": 0}
    trainer.fit(models.X[ROWS], y, batch_size=BATCH, **options, **given)
    return models.weights_of(trainer.model)


class Batches(keras.utils.PyDataset):
    """Samples with their ids, in the order of each epoch."""

    epoch = 0

    def __len__(self):
        return -(-len(ORDERS[self.epoch]) // BATCH)

    def __getitem__(self, index):
        rows = ORDERS[self.epoch][index * BATCH : (index + 1) * BATCH]
        return models.X[rows], kr.data.pack_targets(models.Y[rows], sample_id=rows)


def saf(**changes):
    return kr.sharpness.SAF(models.linear(), **{**ARGUMENTS, **changes})


def expected_after(**changes):
    arguments = {**ARGUMENTS, **changes}
    del arguments["num_samples"]
    return reference(**arguments)


def assert_weights(found, expected, relative=1e-4):
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted, "a weight", relative=relative)


def test_epochs_in_any_order_follow_the_formula():
    trainer, batches = saf(), Batches()
    prepare(trainer, compiled=True)
    turn = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch)
    )
    options = {"epochs": len(ORDERS), "shuffle": False, "verbose": 0}
    trainer.fit(batches, callbacks=[turn], **options)
    expected = expected_after(orders=ORDERS)
    assert_weights(models.weights_of(trainer.model), expected)
    assert np.abs(expected[0] - expected_after(orders=ORDERS, weight=0.0)[0]).max() > 1e-3


def test_weights_of_samples_weigh_the_term():
    expected = expected_after(end_epoch=None, sample_weight=models.WEIGHT)
    assert_weights(train(saf(end_epoch=None), sample_weight=models.WEIGHT), expected)
    assert_weights(train(saf(end_epoch=None), packed=models.WEIGHT), expected)


def test_without_a_past_there_is_no_term():
    """The second `fit` begins with epoch 0 again and finds nothing of that epoch's past."""
    trainer = saf(start_epoch=0, delay=1)
    train(trainer, (0, 1))
    kernel, bias = models.weights_of(trainer.model)
    slopes = models.gradients(models.X[ROWS], models.Y[ROWS], kernel, bias)
    expected = [kernel - RATE * slopes[0].mean(axis=0), bias - RATE * slopes[1].mean(axis=0)]
    assert_weights(train(trainer, (0, 1)), expected)


def test_an_interrupted_training_goes_on_where_it_was(tmp_path):
    y = kr.data.pack_targets(models.Y[ROWS], sample_id=ROWS)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    for stops in ([Stop()], []):
        trainer = saf(delay=1)
        prepare(trainer)
        callbacks = [keras.callbacks.BackupAndRestore(tmp_path), *stops]
        try:
            trainer.fit(models.X[ROWS], y, epochs=4, callbacks=callbacks, verbose=0)
        except KeyboardInterrupt:
            assert stops
    assert_weights(models.weights_of(trainer.model), expected_after(delay=1))


def test_it_is_saved_with_its_table(tmp_path):
    trainer = saf()
    train(trainer, (0, 3))
    path = tmp_path / "trainer.keras"
    trainer.save(path)
    loaded = keras.saving.load_model(path)
    loaded.run_eagerly = keras.backend.backend() == "tensorflow"
    assert_weights(train(loaded, (3, 4)), expected_after())


def test_what_it_needs():
    trainer = saf(num_samples=5)
    with pytest.raises(ValueError, match=r"`num_samples`=5"):
        train(trainer)
    with pytest.raises(ValueError, match="pack_targets"):
        trainer.fit(models.X, models.Y, verbose=0)
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)]
    with pytest.raises(ValueError, match="one output"):
        kr.sharpness.SAF(keras.Model(inputs, outputs), 8)


def test_metrics_see_the_plain_targets():
    trainer = saf(weight=0.0)
    trainer.compile(
        keras.optimizers.SGD(0.0), models.loss(), metrics=["accuracy"], **models.steps()
    )
    y = kr.data.pack_targets(models.Y, sample_id=np.arange(8))
    logs = trainer.fit(models.X, y, batch_size=8, verbose=0).history
    right = models.probabilities(models.X).argmax(axis=1) == models.Y
    assert logs["accuracy"] == pytest.approx([right.mean()])
    assert trainer.evaluate(models.X, models.Y, verbose=0)[1] == pytest.approx(right.mean())
