"""The best one-to-one assignment."""

from __future__ import annotations

import numpy as np


def best_assignment(scores: np.ndarray) -> np.ndarray:
    """The permutation `order` with the largest sum of `scores[i, order[i]]`, in float64."""
    from scipy.optimize import linear_sum_assignment

    _, order = linear_sum_assignment(scores, maximize=True)
    return order
