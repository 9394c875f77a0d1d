"""Patches of tiny models and what weights they must give."""

import numpy as np

from keras_reweight.signatures import Patch


def make(model, name, seed=0, weights=(0, 1), scale=0.1):
    rng = np.random.default_rng(seed)
    variables = [model.weights[i] for i in weights]
    return Patch.from_deltas(
        model, [(v, rng.normal(scale=scale, size=tuple(v.shape))) for v in variables], name=name
    )


def reference_patched(base, patches):
    """`cast(base + sum of alpha * delta)`, summed in float64 in the order of the names.

    An alpha is a number, or a dict from position to number.
    """
    expected = {index: array.copy() for index, array in base.items()}
    for index, array in base.items():
        total = np.zeros(array.shape)
        for _, (patch, alpha) in sorted(patches.items()):
            if index in patch.indices:
                strength = alpha[index] if isinstance(alpha, dict) else alpha
                total = total + strength * patch.delta(index)
        moved = (array.astype("float64") + total).astype(array.dtype)
        expected[index] = np.where(total == 0.0, array, moved)
    return expected


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for index in expected:
        assert found[index].dtype == expected[index].dtype
        assert found[index].tobytes() == expected[index].tobytes(), f"weight {index} differs"
