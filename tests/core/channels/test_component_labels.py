import numpy as np
import pytest

from keras_reweight.core.channels.component_labels import component_labels


def reference_labels(size, edges):
    """Smallest member of each component, by spreading it until nothing changes."""
    label = list(range(size))
    changed = True
    while changed:
        changed = False
        for a, b in edges:
            low = min(label[a], label[b])
            changed |= label[a] != low or label[b] != low
            label[a] = label[b] = low
    return label


@pytest.mark.parametrize("seed", range(3))
def test_random_graphs(seed):
    rng = np.random.default_rng(seed)
    edges = rng.integers(0, 40, (25 + 5 * seed, 2))
    found = component_labels(40, edges[:, 0], edges[:, 1])
    assert found.tolist() == reference_labels(40, edges)


def test_a_long_chain_in_any_order():
    order = np.random.default_rng(0).permutation(20_000)
    assert (component_labels(20_000, order[:-1], order[1:]) == 0).all()


def test_no_edges():
    assert component_labels(3, np.zeros(0, int), np.zeros(0, int)).tolist() == [0, 1, 2]
