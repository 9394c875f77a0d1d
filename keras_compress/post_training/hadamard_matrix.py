"""Matrices of 1 and -1 with orthogonal rows."""

from __future__ import annotations

import numpy as np

from keras_reweight.core.validation import check_integer


def hadamard_matrix(n: int) -> np.ndarray:
    """A Hadamard matrix: entries 1 and -1, `H H^T = n I`.

    Divided by `sqrt(n)` it is the rotation that spreads a single large entry evenly over all
    others. Sizes are powers of two (Sylvester) times 1 or the size of a Paley matrix: 12, 20, 28,
    36, 44, 48, 60 and so on. For every other size use `random_rotation`, which takes a random
    orthogonal matrix there.

    Args:
        n: Integer >= 1, the size.

    Returns:
        Float64 array of shape `(n, n)`; symmetric where `n` is a power of two.

    Raises:
        TypeError: If `n` is no integer.
        ValueError: If `n` is below 1, or no size of these constructions.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    for n in (8, 12, 28):
        matrix = kc.post_training.hadamard_matrix(n)
        assert np.array_equal(matrix @ matrix.T, n * np.eye(n))
    ```

    Reference:
        Paley, "On Orthogonal Matrices", Journal of Mathematics and Physics 12 (1933); used by
        Ashkboos et al., "QuaRot", arXiv 2404.00456.

    Deviations:
        QuaRot stores matrices of 13 sizes; here they are constructed. Of its sizes, 52, 156 and 172
        (and their doubles, where no smaller construction fits) are missing.
    """
    check_integer("n", n, minimum=1)
    core = n
    while core % 2 == 0 and not _is_paley(core):
        core //= 2
    if core != 1 and not _is_paley(core):
        raise ValueError(
            f"`n`={n!r}: no Hadamard matrix of this size is constructed here. Use "
            "random_rotation(n)."
        )
    matrix = np.ones((1, 1)) if core == 1 else _paley(core)
    while len(matrix) < n:
        matrix = np.kron(np.array([[1.0, 1.0], [1.0, -1.0]]), matrix)
    return matrix


def has_hadamard_matrix(n: int) -> bool:
    """Whether `hadamard_matrix(n)` gives one."""
    while n % 2 == 0 and not _is_paley(n):
        n //= 2
    return n == 1 or _is_paley(n)


def _is_paley(n):
    # Powers of two keep Sylvester's matrix, which is symmetric and has a fast transform.
    return n & (n - 1) != 0 and (_first_kind(n) or _second_kind(n))


def _first_kind(n):
    return (n - 1) % 4 == 3 and _is_prime(n - 1)


def _second_kind(n):
    return n % 2 == 0 and (n // 2 - 1) % 4 == 1 and _is_prime(n // 2 - 1)


def _paley(n):
    if _first_kind(n):
        return np.eye(n) + _bordered(n - 1, skew=True)
    conference = _bordered(n // 2 - 1, skew=False)
    plus, minus = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, -1.0], [-1.0, -1.0]])
    return np.kron(conference, plus) + np.kron(np.eye(n // 2), minus)


def _bordered(prime, skew):
    """Quadratic residues of differences, with a border of ones."""
    squares = np.unique(np.arange(1, prime) ** 2 % prime)
    residue = np.full(prime, -1.0)
    residue[squares], residue[0] = 1.0, 0.0
    places = np.arange(prime)
    matrix = np.zeros((prime + 1, prime + 1))
    matrix[1:, 1:] = residue[(places[:, None] - places) % prime]
    matrix[0, 1:] = 1.0
    matrix[1:, 0] = -1.0 if skew else 1.0
    return matrix


def _is_prime(n):
    return n > 1 and all(n % factor for factor in range(2, int(n**0.5) + 1))
