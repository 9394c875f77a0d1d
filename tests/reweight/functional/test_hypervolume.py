"""The dominated volume: vectors of the paper's code, inclusion and exclusion, invariances."""

import itertools

import numpy as np
import pytest

from keras_reweight.functional import hypervolume

POINTS = np.random.default_rng(0).uniform(-0.2, 1.0, size=(7, 3))


def reference(points, reference, modes="max"):
    """Volume of the union of boxes by inclusion and exclusion."""
    signs = np.where(np.broadcast_to(modes, len(reference)) == "max", 1.0, -1.0)
    edges = np.maximum(signs * (np.asarray(points, "float64") - reference), 0.0)
    volume = 0.0
    for number in range(1, len(edges) + 1):
        for chosen in itertools.combinations(edges, number):
            volume += (-1) ** (number + 1) * np.prod(np.min(chosen, axis=0))
    return volume


def test_the_vectors_of_the_official_code():
    assert hypervolume([[0.5, 0.2]], [0.0, 0.0]) == pytest.approx(0.1)
    assert hypervolume([[0.5, 0.2], [0.4, 0.6]], [0.0, 0.0]) == pytest.approx(0.26)
    start, modes = [0.0, 0.0, 1.0], ["max", "max", "min"]
    before = hypervolume([[0.5, 0.2, 0.5]], start, modes=modes)
    after = hypervolume([[0.5, 0.2, 0.5], [0.6, 0.3, 0.4]], start, modes=modes)
    assert after - before == pytest.approx(0.058)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
def test_any_number_of_objectives(objectives):
    draws = np.random.default_rng(objectives)
    points = draws.uniform(-0.2, 1.0, size=(8, objectives))
    modes = ["max", "min", "max", "min", "max"][:objectives]
    start = draws.uniform(-0.3, 0.3, size=objectives)
    found = hypervolume(points, start, modes=modes)
    assert found > 0.0 or objectives > 3
    assert found == pytest.approx(reference(points, start, modes), abs=1e-12)


def test_what_changes_nothing():
    volume = hypervolume(POINTS, np.zeros(3))
    positive = POINTS[(POINTS > 0.0).all(axis=1)]
    below, unknown = [2.0, -0.1, 2.0], [np.nan, 1.0, 1.0]
    more = [*POINTS, *POINTS[:2], 0.5 * positive[0], below, unknown]
    assert hypervolume(more, np.zeros(3)) == pytest.approx(volume)
    assert hypervolume(POINTS[::-1, ::-1], np.zeros(3)) == pytest.approx(volume)
    assert hypervolume(-POINTS, np.zeros(3), modes="min") == pytest.approx(volume)
    assert hypervolume(POINTS + 5.0, np.full(3, 5.0)) == pytest.approx(volume)
    assert hypervolume([], [0.0, 0.0]) == 0.0


def test_ties_count_once():
    points = [[0.5, 0.5, 0.2], [0.5, 0.2, 0.5], [0.2, 0.5, 0.5], [0.5, 0.5, 0.2]]
    assert hypervolume(points, np.zeros(3)) == pytest.approx(reference(points, np.zeros(3)))
