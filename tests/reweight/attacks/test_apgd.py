"""Steps that adapt: against the algorithm in NumPy, and against plain steps."""

import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.attacks.apgd import _intervals
from tests.reweight.attacks import linear
from tests.reweight.attacks.references import losses, reference_apgd

Y = linear.logits(linear.X).argmax(axis=1)


def test_checks_come_at_the_fractions_of_the_paper():
    # w_1 = 0.22 N, then each interval 0.03 N shorter, never below 0.06 N.
    places = np.flatnonzero(_intervals(100)) + 1
    assert list(places) == [22, 41, 57, 70, 80, 87, 93, 99]
    np.testing.assert_array_equal(_intervals(100)[places - 1], [22, 19, 16, 13, 10, 7, 6, 6])
    assert list(_intervals(1)) == [1.0]


# A smaller L2 ball is climbed in three steps; what then rises or falls is rounding of the losses.
@pytest.mark.parametrize(("norm", "epsilon", "steps"), [("linf", 0.25, 21), ("l2", 2.0, 6)])
@pytest.mark.parametrize("loss", ["crossentropy", "margin"])
def test_it_climbs_as_the_algorithm_says(norm, epsilon, steps, loss):
    ball = kr.attacks.Ball(epsilon, norm=norm, clip=(-1.0, 1.0))
    attack = kr.attacks.APGD(ball, steps=steps, loss=loss, start="none")
    found = attack(linear.model(), linear.X, Y)
    expected = reference_apgd(linear.X, Y, ball, steps, loss, 0.75)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_it_keeps_the_worst_of_its_restarts_and_stays_in_the_ball():
    ball = kr.attacks.Ball(0.1, clip=None)
    model = linear.model()
    attacks = [kr.attacks.APGD(ball, steps=2, restarts=n, loss="margin") for n in (1, 2)]
    found = [attack(model, linear.X, Y) for attack in attacks]
    reached = [losses(one, Y, "margin") for one in found]
    fooled = reached[0] > 0
    assert (reached[1][~fooled] >= reached[0][~fooled] - 1e-6).all()
    assert 0.05 < np.abs(found[0] - linear.X).max() <= 0.1 + 1e-6


def test_a_targeted_attack_leads_to_the_target():
    loss = kr.attacks.AttackLoss("margin", targeted=True)
    attack = kr.attacks.APGD(kr.attacks.Ball(3.0, clip=None), steps=21, loss=loss)
    target = (Y + 1) % 3
    found = attack(linear.model(), linear.X, target)
    np.testing.assert_array_equal(linear.logits(found).argmax(axis=1), target)


def test_a_wrong_point_wins_over_one_of_a_higher_loss():
    # With three classes the cross-entropy can rise without the class changing.
    ball = kr.attacks.Ball(0.3, clip=None)
    model = linear.model()
    climbed = kr.attacks.PGD(ball, step_size=0.03, steps=25, start="none")(model, linear.X, Y)
    adapted = kr.attacks.APGD(ball, steps=25, start="none")(model, linear.X, Y)

    def wrong(x):
        return linear.logits(x).argmax(axis=1) != Y

    assert (wrong(adapted) | ~wrong(climbed)).all()
