"""select_interpolation: the ends are exact, the choice is the best allowed one."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.signatures import models

ALPHAS = (0.25, 0.5, 0.75, 1.0)


def line():
    """A model at zero and a patch of ones on one bias."""
    model = models.dense()
    bias = model.get_layer("head").bias
    bias.assign(np.zeros(2))
    return model, kr.Patch.from_deltas(model, [(bias, np.ones(2))], name="line")


def position(model):
    return float(ops.convert_to_numpy(model.get_layer("head").bias)[0])


def score(model):
    """Best at 0.8."""
    return -((position(model) - 0.8) ** 2)


def constraint(model):
    return 1.0 - 0.1 * position(model)


def reference(alphas, tolerance):
    positions = np.array([0.0, *alphas])
    scores, constraints = -((positions - 0.8) ** 2), 1.0 - 0.1 * positions
    allowed = constraints >= constraints[0] - tolerance
    best = np.argmax(np.where(allowed, scores, -np.inf))
    return kr.editing.InterpolationChoice(
        positions[best], None, tuple(positions), tuple(scores), tuple(constraints)
    )


@pytest.mark.parametrize(("tolerance", "expected"), [(1.0, 0.75), (0.06, 0.5), (0.0, 0.0)])
def test_the_constraint_holds_the_choice_back(tolerance, expected):
    model, patch = line()
    before = kr.weight_digest(model)
    choice = kr.editing.select_interpolation(
        model, patch, score=score, constraint=constraint, tolerance=tolerance, alphas=ALPHAS
    )
    assert choice.alpha == expected
    assert kr.weight_digest(model) == before
    with choice.patch.patched(model):
        assert position(model) == expected


def test_without_a_constraint():
    model, patch = line()
    choice = kr.editing.select_interpolation(model, patch, score=score, alphas=[1.0, 0.0])
    assert choice.alphas == (0.0, 1.0) and choice.alpha == 1.0 and choice.constraints is None


def test_of_equal_scores_the_nearest_is_taken():
    model, patch = line()
    choice = kr.editing.select_interpolation(model, patch, score=lambda m: 0.5, alphas=ALPHAS)
    assert choice.alpha == 0.0 and choice.gain == 0.0


def test_the_ends_are_the_two_models_bit_for_bit():
    first, second = models.dense(0), models.dense(1)
    pairs = [
        (mine, np.asarray(theirs, "float64") - np.asarray(own, "float64"))
        for mine, own, theirs in zip(
            first.weights, first.get_weights(), second.get_weights(), strict=True
        )
    ]
    patch = kr.Patch.from_deltas(first, pairs, name="tuned")
    seen = []

    def digest(model):
        seen.append(kr.weight_digest(model))
        return 0.0

    kr.editing.select_interpolation(first, patch, score=digest, alphas=[1.0])
    assert seen == [kr.weight_digest(first), kr.weight_digest(second)]


def test_a_score_that_is_no_number():
    model, patch = line()
    with pytest.raises(ValueError, match="score"):
        kr.editing.select_interpolation(model, patch, score=lambda m: float("nan"))
    assert position(model) == 0.0
