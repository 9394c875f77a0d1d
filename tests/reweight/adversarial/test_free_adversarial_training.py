"""Replays follow algorithm 1; the perturbation is carried, also by smaller batches and files."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.adversarial import models
from tests.reweight.attacks import linear
from tests.reweight.meta.models import steps

BALL = {"epsilon": 0.2, "norm": "linf", "clip": (-0.7, 0.8)}
GIVEN = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 1.0, 3.0], "float32")


def own_weights(losses, y):
    """KL-DRO of radius one half times fixed weights of classes."""
    exponentials = np.exp(losses / 0.5)
    return exponentials / exponentials.sum() * len(losses)


def reference(replays=3, step_size=None, batch=4, ball=BALL, given=None, weigh=None, epochs=1):
    """Kernel, bias and perturbation after `epochs`, in float64."""
    kernel, bias = linear.KERNEL.copy(), linear.BIAS.copy()
    x, y, size = linear.X.astype("float64"), linear.Y, ball["epsilon"]
    size = size if step_size is None else step_size
    given = np.ones(7) if given is None else given
    delta = np.zeros((batch, 5))
    for start in list(range(0, 7, batch)) * epochs:
        rows = slice(start, start + batch)
        count = len(x[rows])
        for _ in range(replays):
            moved = linear.reference_project(x[rows] + delta[:count], x[rows], **ball)
            chances = linear.softmax(moved @ kernel + bias)
            error = chances - np.eye(3)[y[rows]]
            losses = -np.log(chances[np.arange(count), y[rows]])
            weights = given[rows] * (1.0 if weigh is None else weigh(losses, y[rows])) / count
            error = error * weights[:, None]
            slope = error @ kernel.T
            kernel, bias = (
                kernel - models.RATE * moved.T @ error,
                bias - models.RATE * error.sum(axis=0),
            )
            if ball["norm"] == "linf":
                way = np.sign(slope)
            else:
                way = slope / np.linalg.norm(slope, axis=1, keepdims=True)
            delta[:count] = linear.reference_project(
                delta[:count] + size * way, 0.0, ball["epsilon"], ball["norm"], None
            )
    return [kernel, bias, delta]


def trained(trainer, compiled=False, y=linear.Y, **fitting):
    trainer.compile(
        keras.optimizers.SGD(models.RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **steps(compiled),
    )
    trainer.fit(linear.X, y, batch_size=4, shuffle=False, verbose=0, **fitting)
    return state_of(trainer)


def state_of(trainer):
    variables = [*trainer.model.trainable_variables, trainer._perturbation]
    return [ops.convert_to_numpy(v) for v in variables]


def free(ball=BALL, **options):
    options = {"replays": 3, "batch_size": 4, **options}
    return kr.adversarial.FreeAdversarialTraining(
        linear.model(), kr.attacks.Ball(**ball), **options
    )


def assert_follows(found, **options):
    for value, expected in zip(found, reference(**options), strict=True):
        assert_close(value, expected, "weights and perturbation", relative=1e-4)


def test_replays_and_a_smaller_last_batch_follow_the_algorithm():
    trainer = free()
    assert_follows(trained(trainer, compiled=True, epochs=2), epochs=2)
    assert int(ops.convert_to_numpy(trainer.optimizer.iterations)) == 12


def test_in_l2_with_steps_of_their_own():
    ball = {"epsilon": 0.5, "norm": "l2", "clip": None}
    assert_follows(trained(free(ball, step_size=0.3)), ball=ball, step_size=0.3)


def test_weights_of_samples_and_a_weighting_multiply():
    found = trained(free(weighting=kr.weightings.KLDRO(0.5)), sample_weight=GIVEN)
    assert_follows(found, given=GIVEN, weigh=own_weights)


class AverageOfExponentials:
    """The weights of `KLDROReweight` of temperature one half, in NumPy."""

    log_u = None

    def __call__(self, losses, y):
        now = np.log(np.mean(np.exp(losses / 0.5)))
        before = now if self.log_u is None else self.log_u
        self.log_u = np.logaddexp(np.log(0.7) + before, np.log(0.3) + now)
        return np.exp(losses / 0.5 - self.log_u)


def test_packed_weights_and_the_state_of_a_callback_act_in_every_replay():
    trainer, callback = free(), kr.callbacks.KLDROReweight(0.5, rate=0.3)
    kr.data.enable_aux_targets(trainer)
    y = kr.data.pack_targets(linear.Y, weight=GIVEN)
    found = trained(trainer, y=y, callbacks=[callback])
    weigh = AverageOfExponentials()
    assert_follows(found, given=GIVEN, weigh=weigh)
    assert callback.get_state()["log_u"] == pytest.approx(weigh.log_u, rel=1e-4)


def test_one_replay_of_a_first_batch_is_plain_training():
    trainer = free(replays=1, batch_size=9)
    trainer.compile(keras.optimizers.SGD(models.RATE), "mse", **steps())
    plain = linear.model()
    plain.compile(keras.optimizers.SGD(models.RATE), "mse", **steps())
    targets = linear.SCORES
    for model in (trainer, plain):
        model.fit(np.clip(linear.X, -0.7, 0.8), targets, batch_size=7, verbose=0)
    for found, expected in zip(trainer.model.weights, plain.weights, strict=True):
        assert_close(found, ops.convert_to_numpy(expected), "weights", relative=1e-5)


def test_it_goes_on_where_a_file_left_it(tmp_path):
    trainer = free(weighting=kr.weightings.KLDRO(0.5), step_size=0.1)
    before = trained(trainer)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert loaded.get_config()["step_size"] == 0.1 and loaded.replays == 3
    for value, expected in zip(state_of(loaded), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_random_layer_and_normalization_train():
    hidden = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((5,)), *hidden, keras.layers.Dense(3)])
    trainer = kr.adversarial.FreeAdversarialTraining(model, 0.1, replays=2)
    trained(trainer)
    moved = ops.convert_to_numpy(hidden[1].moving_mean)
    assert np.abs(moved).min() > 0.0
    delta = np.abs(ops.convert_to_numpy(trainer._perturbation))
    assert 0.0 < delta[:4].max() <= 0.1 + 1e-7 and not delta[4:].any()


def test_what_is_refused():
    with pytest.raises(ValueError, match="batch_size"):
        trained(free(batch_size=3))
    with pytest.raises(ValueError, match="reads the steps"):
        free(weighting=kr.adversarial.GeometryAware(4))
    open_ended = keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="shape of its inputs"):
        kr.adversarial.FreeAdversarialTraining(open_ended)
    first, second = keras.Input((2,)), keras.Input((2,))
    pair = keras.Model([first, second], keras.layers.Add()([first, second]))
    with pytest.raises(TypeError, match="one input"):
        kr.adversarial.FreeAdversarialTraining(pair)
