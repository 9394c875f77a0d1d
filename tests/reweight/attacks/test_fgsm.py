"""One step: along the sign, along the gradient, from a random start."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.attacks import linear


def test_it_is_one_step_onto_the_border():
    for norm in ("linf", "l2"):
        ball = kr.attacks.Ball(0.3, norm=norm, clip=(-0.9, 0.9))
        found = kr.attacks.FGSM(ball, loss="margin")(linear.model(), linear.X, linear.Y)
        expected = linear.reference_pgd(linear.X, linear.Y, ball, 0.3, 1, "margin")
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_from_a_random_start_the_step_is_longer_than_the_radius():
    ball = kr.attacks.Ball(0.2, clip=None)
    fast = kr.attacks.FGSM(ball, start="uniform", seed=5)(linear.model(), linear.X, linear.Y)
    options = {"step_size": 0.25, "steps": 1, "seed": 5}
    same = kr.attacks.PGD(ball, **options)(linear.model(), linear.X, linear.Y)
    np.testing.assert_array_equal(fast, same)
    delta = np.abs(fast - linear.X)
    # A start far against the step does not get to the border, one along it is held there.
    assert delta.max() <= 0.2 + 1e-6 and 0.0 < (delta < 0.199).mean() < 0.6


def test_the_fast_step_is_that_of_the_paper():
    ball = kr.attacks.Ball(0.2, clip=(-0.8, 0.85))
    fast = kr.attacks.FGSM(ball, start="uniform", seed=5)(linear.model(), linear.X, linear.Y)
    begin = ops.convert_to_numpy(ball.start(ops.convert_to_tensor(linear.X), "uniform", 5, 0))
    inside = np.abs(linear.X) < 0.6
    spread = (begin - linear.X)[inside] / 0.2
    assert np.abs(spread).max() < 1.0 and abs(spread.mean()) < 0.3 and 0.4 < spread.std() < 0.75
    moved = begin + 1.25 * 0.2 * np.sign(linear.gradient(begin, linear.Y))
    expected = linear.reference_project(moved, linear.X, 0.2, "linf", (-0.8, 0.85))
    np.testing.assert_allclose(fast, expected, rtol=1e-5, atol=1e-6)


def test_a_ball_of_radius_zero_leaves_the_sample():
    ball = kr.attacks.Ball(0.0, clip=None)
    found = kr.attacks.FGSM(ball)(linear.model(), linear.X, linear.Y)
    np.testing.assert_array_equal(found, linear.X)
