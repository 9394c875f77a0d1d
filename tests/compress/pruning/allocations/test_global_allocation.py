import numpy as np
import pytest

from keras_compress.pruning import GlobalAllocation


def reference_counts(scores, sparsity):
    """Rank everything with a stable sort and count what falls into each variable."""
    flat = np.concatenate([score.ravel() for score in scores])
    owner = np.repeat(np.arange(len(scores)), [score.size for score in scores])
    lowest = np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]
    return np.bincount(owner[lowest], minlength=len(scores)).tolist()


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_counts_of_a_global_ranking(sparsity):
    generator = np.random.default_rng(0)
    # Rounded scores have many ties across the variables.
    scores = [generator.normal(size=s).round(1).__abs__() for s in ((20, 30), (7,), (3, 4, 5))]
    assert GlobalAllocation(min_keep=0.0)(scores, sparsity) == reference_counts(scores, sparsity)


def test_of_equal_scores_the_lower_index_goes_first():
    assert GlobalAllocation(min_keep=0.0)([np.ones(4), np.ones(4)], 0.5) == [4, 0]


def test_something_survives_however_small_the_model():
    assert sum(GlobalAllocation(0.0)([np.ones(4)], 0.95)) == 3


def test_minimum_moves_pruning_to_other_layers_and_keeps_the_total():
    generator = np.random.default_rng(0)
    scores = [generator.uniform(0, 0.1, 300), generator.uniform(0, 1, 700)]
    plain = GlobalAllocation(min_keep=0.0)(scores, 0.8)
    counts = GlobalAllocation(min_keep=0.05)(scores, 0.8)
    assert plain[0] == 300
    assert counts == [250, 550]


def test_small_layers_stay_dense():
    scores = [np.zeros(10), np.arange(990.0)]
    assert GlobalAllocation(min_keep=0.02)(scores, 0.5) == [0, 500]


@pytest.mark.parametrize("min_keep", [0.0, 0.04])
def test_pruned_weights_stay_pruned_while_the_sparsity_rises(min_keep):
    generator = np.random.default_rng(2)
    sizes, low = (50, 400, 130, 20), [0, 0, 0, 0]
    for sparsity in np.linspace(0.05, 0.84, 30):
        scores = [generator.normal(size=n) ** 2 for n in sizes]
        for score, count in zip(scores, low, strict=True):
            score[:count] = -np.inf
        counts = GlobalAllocation(min_keep=min_keep)(scores, float(sparsity))
        assert sum(counts) == round(sparsity * 600)
        assert all(new >= old for new, old in zip(counts, low, strict=True))
        low = counts
