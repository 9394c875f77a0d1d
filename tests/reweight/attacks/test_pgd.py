"""Projected gradient descent against NumPy on a linear model; what it leaves alone."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.attacks import linear


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["crossentropy", "margin"])
def test_it_climbs_as_the_formula_says(norm, loss):
    ball = kr.attacks.Ball(0.3, norm=norm, clip=(-1.0, 1.0))
    attack = kr.attacks.PGD(ball, step_size=0.1, steps=4, loss=loss, start="none")
    found = attack(linear.model(), linear.X, linear.Y)
    expected = linear.reference_pgd(linear.X, linear.Y, ball, 0.1, 4, loss)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_stays_in_the_ball_and_in_the_range(norm):
    ball = kr.attacks.Ball(0.4, norm=norm, clip=(-0.8, 0.8))
    x = np.clip(linear.X, -0.8, 0.8)
    found = kr.attacks.PGD(ball, step_size=0.3, steps=5)(linear.model(), x, linear.Y)
    distance = (
        np.abs(found - x).max() if norm == "linf" else np.linalg.norm(found - x, axis=1).max()
    )
    assert 0.1 < distance <= 0.4 + 1e-6
    assert np.abs(found).max() <= 0.8


def test_the_numbers_of_the_start_do_not_depend_on_the_batch():
    attack = kr.attacks.PGD(0.2, steps=1, step_size=1e-9, seed=3)
    x = np.full((6, 5), 0.5, "float32")
    whole = attack(linear.model(), x, linear.Y[:6], batch_size=6)
    part = attack(linear.model(), x[:4], linear.Y[:4], batch_size=4)
    np.testing.assert_array_equal(whole[:4], part)
    assert 0.1 < np.abs(whole - x).max() <= 0.2 + 1e-6
    assert np.unique(whole).size == whole.size
    other = kr.attacks.PGD(0.2, steps=1, step_size=1e-9, seed=4)(linear.model(), x, linear.Y[:6])
    assert not np.array_equal(whole, other)


def test_a_start_in_the_l2_ball_fills_it():
    ball = kr.attacks.Ball(2.0, norm="l2", clip=None)
    x = np.zeros((400, 5), "float32")
    start = ops.convert_to_numpy(ball.start(ops.convert_to_tensor(x), "uniform", 1, 0))
    radius = np.linalg.norm(start, axis=1)
    assert radius.max() <= 2.0 + 1e-5
    # The median radius of a uniform ball in five dimensions is 2 * 0.5 ** (1 / 5).
    assert abs(np.median(radius) - 2.0 * 0.5**0.2) < 0.05


def test_restarts_keep_the_worst_for_each_sample():
    ball = kr.attacks.Ball(0.2, clip=None)
    options = {"step_size": 0.02, "steps": 2, "loss": "margin"}
    several = kr.attacks.PGD(ball, restarts=3, seed=1, **options)
    singles = [kr.attacks.PGD(ball, seed=1 + 7919 * number, **options) for number in range(3)]
    model = linear.model()

    def reached(attack):
        return linear.reference_margins(linear.Y, linear.logits(attack(model, linear.X, linear.Y)))

    best = np.max([reached(single) for single in singles], axis=0)
    np.testing.assert_allclose(reached(several), best, rtol=1e-5, atol=1e-6)


def test_a_targeted_attack_leads_to_the_target():
    loss = kr.attacks.AttackLoss(targeted=True)
    attack = kr.attacks.PGD(kr.attacks.Ball(3.0, clip=None), loss=loss, steps=10)
    target = (linear.Y + 1) % 3
    found = attack(linear.model(), linear.X, target)
    np.testing.assert_array_equal(linear.logits(found).argmax(axis=1), target)


def test_it_counts_the_steps_before_which_a_sample_was_right():
    attack = kr.attacks.PGD(kr.attacks.Ball(0.5, clip=None), step_size=0.1, steps=5, start="none")
    (found,) = attack.batches(linear.model(), linear.X, linear.Y)
    expected, moved = np.zeros(7), np.asarray(linear.X, "float64")
    for _ in range(5):
        expected += linear.logits(moved).argmax(axis=1) == linear.Y
        moved = moved + 0.1 * np.sign(linear.gradient(moved, linear.Y))
    np.testing.assert_array_equal(found.steps_correct, expected)
    assert 0 < expected.sum() < 35


def test_without_labels_it_leaves_the_predictions():
    attack = kr.attacks.PGD(kr.attacks.Ball(0.3, clip=None), steps=2)
    predicted = linear.logits(linear.X).argmax(axis=1)
    model = linear.model()
    np.testing.assert_array_equal(attack(model, linear.X), attack(model, linear.X, predicted))


def network():
    layers = [
        keras.layers.Dense(6, "relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3),
    ]
    return keras.Sequential([keras.Input((5,)), *layers])


def test_the_model_runs_in_inference_mode_and_is_left_alone():
    model = network()
    before = kr.weight_digest(model)
    attack = kr.attacks.PGD(kr.attacks.Ball(0.3, clip=None), steps=2)
    whole = attack(model, linear.X, linear.Y)
    halves = [attack(model, linear.X[i : i + 1], linear.Y[i : i + 1]) for i in range(1)]
    assert_close(whole[:1], halves[0], "a sample in a batch and on its own")
    assert kr.weight_digest(model) == before


def test_a_loss_of_ones_own_and_one_hot_labels():
    attack = kr.attacks.PGD(
        kr.attacks.Ball(0.1, clip=None),
        step_size=0.1,
        steps=1,
        start="none",
        loss=lambda y_true, y_pred: ops.sum(ops.square(y_true - y_pred), axis=-1),
    )
    targets = linear.SCORES
    found = attack(linear.model(), linear.X, targets)
    slope = 2.0 * (linear.logits(linear.X) - targets) @ linear.KERNEL.T
    np.testing.assert_allclose(found, linear.X + 0.1 * np.sign(slope), rtol=1e-5, atol=1e-6)
    cross = kr.attacks.PGD(kr.attacks.Ball(0.1, clip=None), steps=2)
    np.testing.assert_array_equal(
        cross(linear.model(), linear.X, np.eye(3, dtype="float32")[linear.Y]),
        cross(linear.model(), linear.X, linear.Y),
    )


def test_integers_have_no_gradient():
    with pytest.raises(TypeError, match="floating point"):
        kr.attacks.PGD()(linear.model(), np.zeros((2, 5), "int32"), np.zeros(2))
