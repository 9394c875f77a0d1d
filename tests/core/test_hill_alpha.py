import numpy as np
import pytest

from keras_reweight.core.hill_alpha import hill_alpha, hill_fit

EIGENVALUES = np.array([0.1, 0.2, 0.4, 0.5, 0.8, 1.0, 1.6, 2.5, 4.0, 9.0])


def reference(eigenvalues, xmin="median"):
    """The maximum likelihood of a power law above the median."""
    ordered = np.sort(eigenvalues)
    tail = ordered[len(ordered) // 2 :]
    return 1.0 + len(tail) / (np.log(tail) - np.log(tail[0])).sum()


@pytest.mark.parametrize(
    ("xmin", "alpha", "distance"),
    [("median", 2.006074, 0.202220), ("peak", 1.449417, 0.263680), ("best", 1.764266, 0.161247)],
)
def test_official_vectors(xmin, alpha, distance):
    fit = hill_fit(EIGENVALUES[::-1], xmin=xmin)
    assert fit.alpha == pytest.approx(alpha, abs=5e-7)
    assert fit.distance == pytest.approx(distance, abs=5e-7)
    # The norm-weighted exponent of the same vector: alpha times the logarithm of the largest.
    if xmin == "median":
        assert fit.alpha * np.log10(9.0) == pytest.approx(1.914281, abs=5e-7)
        assert fit.alpha == pytest.approx(reference(EIGENVALUES))


def test_scale_and_zeros_do_not_matter():
    for eigenvalues in (1e-20 * EIGENVALUES, np.concatenate([np.zeros(7), EIGENVALUES])):
        assert hill_alpha(eigenvalues) == pytest.approx(hill_alpha(EIGENVALUES), rel=1e-9)


def test_nothing_to_fit_is_nan():
    for eigenvalues in ([], [1.0], [2.0, 2.0, 2.0 + 1e-6], np.zeros(4)):
        for xmin in ("median", "peak", "best"):
            assert np.isnan(hill_alpha(np.array(eigenvalues), xmin=xmin))


def test_bad_arguments():
    with pytest.raises(ValueError, match="xmin"):
        hill_alpha(EIGENVALUES, xmin="mean")
    for bad in (-EIGENVALUES, EIGENVALUES[None], np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="eigenvalues"):
            hill_alpha(bad)
