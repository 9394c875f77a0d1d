import keras
import numpy as np
import pytest

from keras_compress.pruning import (
    AlphaAllocation,
    UniformAllocation,
    layer_alphas,
    plan_sparsities,
)
from keras_compress.pruning.allocations.alpha_allocation import alpha_ratios


def stack(scale=1.0):
    """Three dense layers, the second of low rank and so of heavy tail."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, use_bias=False, name=name) for name in ("a", "b", "c")]
    model = keras.Sequential([keras.Input((64,)), *layers])
    generator = np.random.default_rng(0)
    layers[1].kernel.assign(
        generator.normal(size=(64, 64)) * 0.05
        + generator.normal(size=(64, 1)) * generator.pareto(0.5, size=64)
    )
    return model


def test_mapping():
    ratios = alpha_ratios(np.array([2.0, 4.0, 3.0, np.nan]), 0.3)
    np.testing.assert_allclose(ratios, [0.7, 1.3, 1.0, 1.0])
    np.testing.assert_array_equal(alpha_ratios(np.array([2.0, 2.0, np.nan]), 0.3), np.ones(3))
    np.testing.assert_array_equal(alpha_ratios(np.full(2, np.nan), 0.3), np.ones(2))


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_heavy_tails_are_pruned_less_and_the_rest_is_balanced(sparsity):
    model = stack()
    alphas = np.array(list(layer_alphas(model).values()))
    plan = plan_sparsities(model, sparsity, allocation=AlphaAllocation(0.3, min_keep=0.0))
    found = np.array(list(plan.values()))
    assert alphas.argmin() == found.argmin() == 1
    assert found.sum() * 4096 == pytest.approx(round(sparsity * 3 * 4096))
    # Sizes are equal, so the factor of the mapping is known until sparsities reach 1.
    ratios = alpha_ratios(alphas, 0.3)
    factor = sparsity * 3 / ratios.sum()
    if (ratios * factor).max() <= 1.0:
        np.testing.assert_allclose(found, ratios * factor, atol=1.5 / 4096)
    else:
        assert sorted(found)[-1] == pytest.approx(1.0, abs=1.5 / 4096)


def test_kernels_with_few_eigenvalues_get_the_middle():
    model = stack()
    plan = plan_sparsities(model, 0.5, allocation=AlphaAllocation(min_eigenvalues=65))
    assert set(plan.values()) == {0.5}


def test_no_spread_is_uniform():
    model = stack()
    assert plan_sparsities(model, 0.5, allocation=AlphaAllocation(0.0)) == plan_sparsities(
        model, 0.5, allocation=UniformAllocation()
    )


def test_layers_of_a_block_share_their_mean():
    model = stack()
    inner = keras.Sequential([keras.Input((64,)), *model.layers[:2]], name="block")
    outer = keras.Sequential([keras.Input((64,)), inner, model.layers[2]])
    plan = plan_sparsities(outer, 0.5, allocation=AlphaAllocation(blocks=["a", "c"]))
    assert len(set(plan.values())) == 3
    with pytest.raises(ValueError, match="'nowhere'"):
        plan_sparsities(outer, 0.5, allocation=AlphaAllocation(blocks=["nowhere"]))


def test_bad_arguments():
    for arguments in ({"epsilon": 1.0}, {"method": "mean"}, {"rows": 1}, {"num_windows": 1},
                      {"min_eigenvalues": -1}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(arguments))):
            AlphaAllocation(**arguments)
    with pytest.raises(TypeError, match="blocks"):
        AlphaAllocation(blocks="block")
    with pytest.raises(ValueError, match="context"):
        AlphaAllocation()([np.ones(4)], 0.5)
