"""Random rotations that spread what stands out."""

from __future__ import annotations

import numpy as np

from keras_compress.post_training.hadamard_matrix import hadamard_matrix, has_hadamard_matrix
from keras_reweight.core.validation import check_integer


def random_rotation(n: int, *, seed: int = 0) -> np.ndarray:
    """A random orthogonal matrix, of Hadamard's kind where there is one of this size.

    `Q = diag(signs) H / sqrt(n)` with random signs: every entry has the size `1 / sqrt(n)`, so
    that no direction stands out in `x Q`. Other sizes get a uniformly distributed orthogonal
    matrix. For `rotate_pair`, and to rotate weights of your own.

    Args:
        n: Integer >= 1, the size.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        Float64 array of shape `(n, n)` with `Q^T Q = I`.

    Raises:
        TypeError: If an argument is no integer.
        ValueError: If `n` is below 1 or `seed` negative.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    x = np.zeros(16)
    x[3] = 20.0
    assert np.allclose(np.abs(x @ kc.post_training.random_rotation(16)), 5.0)
    ```

    Reference:
        Ashkboos et al., "QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs", NeurIPS 2024, arXiv
        2404.00456, section 4; Mezzadri, "How to Generate Random Matrices from the Classical Compact
        Groups", Notices of the AMS 54 (2007) (the sign fix).
    """
    check_integer("n", n, minimum=1)
    check_integer("seed", seed, minimum=0)
    generator = np.random.default_rng([seed, n])
    if has_hadamard_matrix(n):
        signs = np.where(generator.random(n) < 0.5, -1.0, 1.0)
        return signs[:, None] * hadamard_matrix(n) / np.sqrt(n)
    orthogonal, upper = np.linalg.qr(generator.normal(size=(n, n)))
    return orthogonal * np.sign(np.diag(upper))
