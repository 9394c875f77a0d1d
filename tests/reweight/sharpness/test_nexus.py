"""The way of a few normalized steps, in NumPy for a linear model."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta import models
from tests.reweight.sharpness import test_sam

RATE = 0.5
ARGUMENTS = {"micro_batches": 3, "inner_rate": 0.1, "rescale": True}
#: Eight samples in three parts: the last one begins again with the first sample.
PARTS = {2: [range(4), range(4, 8)], 3: [range(3), range(3, 6), (6, 7, 0)]}


def reference(micro_batches, inner_rate, rescale, sample_weight=1.0):
    """Kernel and bias after a step."""
    start = [models.KERNEL.astype("float64"), models.BIAS]
    values, lengths = start, []
    for rows in PARTS[micro_batches]:
        rows = list(rows)
        weights = (np.ones(8) * sample_weight)[rows]
        by_kernel, by_bias = models.gradients(models.X[rows], models.Y[rows], *values)
        parts = [
            (by_kernel * weights[:, None, None]).mean(axis=0),
            (by_bias * weights[:, None]).mean(axis=0),
        ]
        lengths.append(np.sqrt(sum((part**2).sum() for part in parts)))
        values = [v - inner_rate * p / lengths[-1] for v, p in zip(values, parts, strict=True)]
    scale = 1.0 / (micro_batches * inner_rate) * (np.mean(lengths) if rescale else 1.0)
    return [s - RATE * scale * (s - v) for s, v in zip(start, values, strict=True)]


def after_a_step(trainer, compiled=False, **fit):
    trainer.compile(keras.optimizers.SGD(RATE), models.loss(), **models.steps(compiled))
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    trainer.fit(models.X, models.Y, **options, **fit)
    return models.weights_of(trainer.model)


@pytest.mark.parametrize(("micro_batches", "rescale"), [(2, False), (3, True)])
def test_a_step_follows_the_formula(micro_batches, rescale):
    arguments = {"micro_batches": micro_batches, "inner_rate": 0.1, "rescale": rescale}
    trainer = kr.sharpness.Nexus(models.linear(), **arguments)
    given = {} if rescale else {"sample_weight": models.WEIGHT}
    found = after_a_step(trainer, compiled=rescale, **given)
    expected = reference(**arguments, **given)
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted, "a weight", relative=1e-4)


class Quadratics(keras.losses.Loss):
    """`a w^2 / 2 + b w` of each sample, with `a, b` as its label."""

    def call(self, y_true, y_pred):
        return 0.5 * y_true[:, :1] * y_pred**2 + y_true[:, 1:] * y_pred


def test_two_quadratics_by_hand():
    """In one dimension normalized gradients are signs; here 1 and -1, or 1 and 1."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), dense])
    trainer = kr.sharpness.Nexus(model, micro_batches=2, inner_rate=0.1, rescale=True)
    trainer.compile(keras.optimizers.SGD(1.0), Quadratics(), **models.steps())
    # At 1 the first slope is 2 * 1 - 1 = 1, at 0.9 the second 4 * 0.9 - 3 = 0.6: the way is 0.2
    # long, that is 1 for each of 2 * 0.1, times the mean slope of 0.8.
    labels = np.array([[2.0, -1.0], [4.0, -3.0]], "float32")
    trainer.fit(np.ones((2, 1)), labels, batch_size=2, shuffle=False, verbose=0)
    assert float(dense.get_weights()[0][0, 0]) == pytest.approx(1.0 - 0.8, abs=1e-5)
    # At 0.2 the first slope is -0.6, at 0.3 the second one is -1.8.
    trainer.fit(np.ones((2, 1)), labels, batch_size=2, shuffle=False, verbose=0)
    assert float(dense.get_weights()[0][0, 0]) == pytest.approx(0.2 + 1.2, abs=1e-5)


def test_statistics_of_the_parts_are_kept_in_their_order_and_metrics_of_all():
    model = test_sam.network()
    for layer in (model.layers[0], model.layers[2]):
        layer.trainable = False
    x = np.asarray(model.layers[0](models.X[:8]))
    trainer = kr.sharpness.Nexus(model, micro_batches=2)
    trainer.compile("sgd", models.loss(), metrics=["accuracy"], **models.steps())
    logs = trainer.fit(models.X, models.Y, batch_size=8, shuffle=False, verbose=0).history
    mean = np.zeros(x.shape[1])
    for rows in PARTS[2]:
        mean = 0.5 * mean + 0.5 * x[list(rows)].mean(axis=0)
    assert_close(model.layers[1].get_weights()[2], mean, "the moving mean", relative=1e-4)
    assert set(logs) == {"accuracy", "loss"}
    assert 0.0 <= logs["accuracy"][0] <= 1.0


def test_a_batch_that_is_smaller_than_its_parts():
    trainer = kr.sharpness.Nexus(models.linear(), micro_batches=4)
    trainer.compile("sgd", models.loss(), **models.steps())
    trainer.fit(models.X[:2], models.Y[:2], verbose=0)
    assert all(np.isfinite(one).all() for one in models.weights_of(trainer.model))


def test_it_is_saved(tmp_path):
    trainer = kr.sharpness.Nexus(models.linear(), **ARGUMENTS)
    trainer.compile("sgd", models.loss(), **models.steps())
    trainer.fit(models.X, models.Y, verbose=0)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert {key: getattr(loaded, key) for key in ARGUMENTS} == ARGUMENTS
