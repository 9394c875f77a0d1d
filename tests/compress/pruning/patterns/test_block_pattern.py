import keras
import numpy as np
import pytest

from keras_compress.pruning import BlockPattern, prune_weights


def reference(score, block_shape, pooling):
    """Block by block; those at the edges have what is there."""
    matrix = score.reshape(-1, score.shape[-1])
    height, width = block_shape
    return np.array(
        [
            [
                getattr(np, pooling)(matrix[i : i + height, j : j + width])
                for j in range(0, matrix.shape[1], width)
            ]
            for i in range(0, matrix.shape[0], height)
        ]
    )


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (2, 2, 3, 5), (3, 1)])
def test_scores_and_masks_of_blocks(shape, pooling):
    score = np.random.default_rng(0).random(shape)
    pattern = BlockPattern((4, 2), pooling=pooling)
    units = pattern.units(score)
    np.testing.assert_allclose(units, reference(score, (4, 2), pooling), rtol=1e-12)
    assert pattern.num_units(shape) == units.size
    mask = np.random.default_rng(1).random(units.shape) < 0.5
    full = pattern.expand(mask, shape)
    assert full.shape == shape
    np.testing.assert_array_equal(reference(full, (4, 2), "all"), mask)


def test_blocks_that_are_gone_stay_gone_and_single_weights_count_as_zero():
    score = np.array([[-np.inf, -np.inf, 3.0], [-np.inf, -np.inf, -np.inf]])
    assert BlockPattern((2, 2)).units(score).tolist() == [[-np.inf, 1.5]]


def test_pruning_twice_takes_further_blocks():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, use_bias=False)])
    pattern = BlockPattern([4, 3], pooling="max")
    for sparsity, zeros in ((0.25, 12), (0.75, 36)):
        prune_weights(model, sparsity, pattern=pattern)
        assert (model.get_weights()[0] == 0).sum() == zeros
    assert reference(model.get_weights()[0] != 0, (4, 3), "all").sum() == 1


def test_bad_arguments():
    for block in (4, (4,), (4, 2.5)):
        with pytest.raises(TypeError, match="block_shape"):
            BlockPattern(block)
    with pytest.raises(ValueError, match="block_shape"):
        BlockPattern((4, 0))
    with pytest.raises(ValueError, match="pooling"):
        BlockPattern((4, 2), pooling="sum")
