import numpy as np
import pytest

from keras_reweight.core.hill_alpha import hill_alpha
from keras_reweight.core.kernel_spectra import eigenvalues, farms_alpha, square_windows, squares


def test_windows_and_squares():
    matrix = np.arange(10 * 6).reshape(10, 6)
    windows = square_windows(matrix, 4, 3)
    # Steps of 3 along the rows and 1 along the columns; none reaches beyond the edge.
    assert windows.shape == (9, 4, 4)
    assert windows[:, 0, 0].tolist() == [0, 1, 2, 18, 19, 20, 36, 37, 38]
    assert len(square_windows(matrix, 100, 9)) == 5
    stack = np.arange(2 * 3 * 7).reshape(2, 3, 7)
    assert [part.shape for part in squares(stack)] == [(2, 3, 3)] * 2
    np.testing.assert_array_equal(squares(stack)[0], stack.swapaxes(1, 2)[:, :3])


def test_eigenvalues_of_a_stack():
    stack = np.random.default_rng(0).normal(size=(2, 3, 5))
    expected = [np.linalg.eigvalsh(matrix @ matrix.T) for matrix in stack]
    np.testing.assert_allclose(np.sort(eigenvalues(stack)), np.sort(np.concatenate(expected)))


def test_a_matrix_is_fitted_at_once_and_a_stack_square_by_square():
    rng = np.random.default_rng(1)
    matrix, stack = rng.normal(size=(1, 9, 6)), rng.normal(size=(4, 8, 4))
    windows = square_windows(matrix[0], 5, 3)
    assert farms_alpha(matrix, rows=5, num_windows=3) == hill_alpha(eigenvalues(windows))
    parts = [hill_alpha(eigenvalues(stack[:, begin : begin + 4])) for begin in (0, 4)]
    assert farms_alpha(stack) == pytest.approx(np.mean(parts))
    assert np.isnan(farms_alpha(np.zeros((4, 8, 4))))
