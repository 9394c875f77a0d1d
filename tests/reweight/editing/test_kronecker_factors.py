"""KroneckerFactors: spectra, and the file."""

import functools

import numpy as np
import pytest

from keras_reweight.editing import KroneckerFactors
from keras_reweight.signatures.architecture import Architecture
from tests.reweight.signatures import models


def moments(size, seed):
    rows = np.random.default_rng(seed).normal(size=(3 * size, size))
    return rows.T @ rows / len(rows)


@functools.cache
def architecture():
    return Architecture.of(models.dense())


def make(seed=0, **changes):
    """Of the first two kernels of the dense model, (3, 5) and (5, 4)."""
    factors = {0: (moments(3, seed), moments(5, seed)), 2: (moments(5, seed), moments(4, seed))}
    arguments = {"architecture": architecture(), "factors": factors}
    return KroneckerFactors(**{**arguments, **changes})


def reference_spectra(factors):
    """Squared singular values of a square root, with the projections on their directions."""
    found = []
    for pair in factors.values():
        for matrix in pair:
            _, values, rows = np.linalg.svd(matrix)
            found += [values, [np.outer(row, row) for row in rows]]
    return found


def spectra(made):
    """Eigenvectors have no sign; what they project on does."""
    found = []
    for index in made.indices:
        a, u_a, g, u_g = made.spectrum(index)
        for values, vectors in ((a, u_a), (g, u_g)):
            found += [values, [np.outer(column, column) for column in vectors.T]]
    return found


def test_largest_values_first_and_none_negative():
    made = make()
    a, u_a, g, u_g = made.spectrum("second/kernel")
    assert (np.diff(a) <= 0).all() and (np.diff(g) <= 0).all()
    np.testing.assert_allclose(u_a * a @ u_a.T, made.factors[2][0], atol=1e-12)
    np.testing.assert_allclose(u_g * g @ u_g.T, made.factors[2][1], atol=1e-12)
    row = np.ones((1, 3))
    (values, *_) = make(factors={0: (row.T @ row - 1e-12 * np.eye(3), np.eye(5))}).spectrum(0)
    np.testing.assert_allclose(values, [3.0, 0.0, 0.0], atol=1e-11)
    assert (values >= 0).all()


def test_a_file_holds_all_of_it(tmp_path):
    made, path = make(), tmp_path / "factors.safetensors"
    made.save(path)
    again = KroneckerFactors.load(path)
    assert again.paths == made.paths == ("first/kernel", "second/kernel")
    for index in made.indices:
        for ours, theirs in zip(made.factors[index], again.factors[index], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("factors", "text"),
    [
        ({0: (np.eye(3), np.eye(4))}, "do not fit"),
        ({0: (np.ones((3, 2)), np.eye(5))}, "do not fit"),
        ({0: (np.full((3, 3), np.nan), np.eye(5))}, "not finite"),
        ({}, "empty"),
    ],
)
def test_what_are_no_factors_is_refused(factors, text):
    with pytest.raises(ValueError, match=text):
        make(factors=factors)
