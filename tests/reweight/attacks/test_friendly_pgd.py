"""Every sample stops on its own, some steps after it is wrong."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.attacks import linear
from tests.reweight.attacks.references import reference_friendly

BALL = kr.attacks.Ball(0.6, clip=None)
Y = linear.logits(linear.X).argmax(axis=1)


@pytest.mark.parametrize("tau", [0, 2])
def test_it_stops_as_the_algorithm_says(tau):
    attack = kr.attacks.FriendlyPGD(BALL, step_size=0.1, steps=6, tau=tau, start="none")
    found = attack(linear.model(), linear.X, Y)
    expected = reference_friendly(linear.X, Y, BALL, 0.1, 6, tau)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    steps = np.round(np.abs(found - linear.X).max(axis=1) / 0.1)
    assert len(set(steps)) > 1


def test_with_as_many_steps_left_as_there_are_it_is_the_plain_attack():
    options = {"step_size": 0.1, "steps": 4, "seed": 2}
    friendly = kr.attacks.FriendlyPGD(BALL, tau=4, **options)
    model = linear.model()
    plain = kr.attacks.PGD(BALL, **options)
    np.testing.assert_allclose(
        friendly(model, linear.X, Y), plain(model, linear.X, Y), rtol=1e-6, atol=1e-7
    )
