import keras
import numpy as np
import pytest

from keras_compress.pruning import TiedGates, UniformAllocation, prune_weights

L = keras.layers


def reference(score, gates):
    """Mean over the gates, which are stored in blocks side by side."""
    return np.mean(np.split(score, gates, axis=-1), axis=0)


@pytest.mark.parametrize(("layer", "gates"), [(L.SimpleRNN(4), 1), (L.GRU(4), 3), (L.LSTM(4), 4)])
def test_all_gates_lose_the_same_connections(layer, gates):
    model = keras.Sequential([keras.Input((5, 3)), layer, L.Dense(4, use_bias=False)])
    kernels = [np.abs(v.numpy() if hasattr(v, "numpy") else v) for v in model.get_weights()]
    masks = prune_weights(
        model, 0.5, pattern=TiedGates(), allocation=UniformAllocation(min_keep=0.0)
    ).masks
    for kernel, mask in zip((kernels[0], kernels[1]), masks.values(), strict=False):
        parts = np.split(mask, gates, axis=-1)
        assert all((part == parts[0]).all() for part in parts)
        pooled = reference(kernel, gates)
        assert (~parts[0]).sum() == pooled.size // 2
        assert pooled[~parts[0]].max() < pooled[parts[0]].min()
    assert [mask.size - mask.sum() for mask in masks.values()] == [6 * gates, 8 * gates, 8]


def test_a_mask_is_tiled_and_not_repeated():
    layer = L.GRU(2)
    layer.build((None, 3, 2))
    pattern = TiedGates().for_variable(layer.cell.recurrent_kernel, layer.cell)
    mask = np.array([[True, False], [True, True]])
    expected = [[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]]
    assert pattern.expand(mask, (2, 6)).astype(int).tolist() == expected
    assert pattern.num_units((2, 6)) == 4
    units = pattern.units(np.arange(12.0).reshape(2, 6))
    np.testing.assert_array_equal(units, reference(np.arange(12.0).reshape(2, 6), 3))


def test_connections_that_are_gone_stay_gone():
    pattern = TiedGates()
    pattern._gates = 2
    score = np.array([[-np.inf, 4.0, -np.inf, -np.inf]])
    assert pattern.units(score).tolist() == [[-np.inf, 2.0]]
