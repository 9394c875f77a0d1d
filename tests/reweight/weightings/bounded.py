"""What the tests of the loss-range weightings share: a slow, independent NumPy recomputation."""

import numpy as np


def bounded_reference(losses, shape, temperature=1.0, delta=1.0):
    """Weights from the formula, one sample at a time in float64."""
    losses = [float(value) for value in np.asarray(losses)]
    finite = [value for value in losses if np.isfinite(value)]
    low, high = min(finite), max(finite)
    scores = []
    for value in losses:
        position = delta * (2 * value - low - high) / max(high - low, 1e-6)
        scores.append(shape(position, delta) if np.isfinite(value) else -np.inf)
    exponentials = [np.exp((score - max(scores)) / temperature) for score in scores]
    return np.array(exponentials) / sum(exponentials)


LOSSES = np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32")
