import numpy as np
import pytest

from keras_compress.pruning.allocations.min_keep import (
    exact_counts,
    floor_counts,
    refine_sparsities,
)

# Vectors of the official code: sizes, sparsities, minimum, target, refined sparsities.
OFFICIAL = [
    (
        [400, 3000, 6000, 600],
        [0.2, 0.9, 0.99, 0.995],
        0.02,
        0.9,
        [0.201439, 0.906475, 0.966667, 0.666667],
    ),
    ([100, 3000, 6000, 900], [0.2, 0.9, 0.99, 0.5], 0.02, 0.9, [0.0, 0.914286, 0.966667, 0.507937]),
]


def reference_refine(sparsities, sizes, target, minimum, rounds=2000):
    """The procedure of the official code: rescale and clip until the target is met."""
    sizes, total = np.asarray(sizes, "float64"), sum(sizes)
    s = np.where(sizes < minimum, 0.0, sparsities)
    s = s * target / ((sizes * s).sum() / total)
    for _ in range(rounds):
        s = np.where(sizes > minimum, np.minimum(s, 1.0 - minimum / sizes), s)
        reached = (sizes * s).sum() / total
        if reached >= target - 1e-13:
            break
        s = s * target / reached
    return s


@pytest.mark.parametrize(("sizes", "sparsities", "min_keep", "target", "expected"), OFFICIAL)
def test_official_vectors(sizes, sparsities, min_keep, target, expected):
    floors = floor_counts(sizes, min_keep)
    refined = refine_sparsities(sparsities, sizes, target, floors)
    np.testing.assert_allclose(refined, expected, atol=5e-7)


def test_agrees_with_the_iteration_on_random_networks():
    generator = np.random.default_rng(0)
    for _ in range(50):
        sizes = generator.integers(20, 5000, size=6)
        sparsities = generator.uniform(0.05, 1.0, size=6)
        minimum = int(0.01 * sizes.sum())
        floors = np.minimum(minimum, sizes)
        target = generator.uniform(0.2, 1.0) * (1.0 - floors.sum() / sizes.sum())
        refined = refine_sparsities(sparsities, sizes, target, floors)
        expected = reference_refine(sparsities, sizes, target, minimum)
        np.testing.assert_allclose(refined, expected, atol=1e-7)
        assert (sizes * (1.0 - refined) >= floors - 1e-6).all()


def test_layers_without_a_share_take_what_is_left():
    # The official iteration never ends here: scaling zero gives zero.
    refined = refine_sparsities([0.0, 1.0], [100, 100], 0.8, [10, 30])
    np.testing.assert_allclose(refined, [0.9, 0.7])


def test_floors():
    assert floor_counts([400, 9600], 0.0) == [0, 0]
    assert floor_counts([100, 9900], 0.02) == [100, 200]
    assert floor_counts([40, 60], 0.29) == [29, 29]


def test_exact_counts_add_up_within_their_bounds():
    generator = np.random.default_rng(1)
    for _ in range(50):
        sizes = generator.integers(5, 50, size=5)
        floors = generator.integers(0, 5, size=5)
        total = int(generator.integers(0, sizes.sum() - floors.sum() + 1))
        sparsities = np.full(5, total / sizes.sum())
        counts = exact_counts(sparsities, sizes, total, floors, [0] * 5)
        assert sum(counts) == total
        assert all(0 <= c <= n - f for c, n, f in zip(counts, sizes, floors, strict=True))


def test_exact_counts_never_give_back_what_is_pruned():
    counts = exact_counts([0.5, 0.5], [10, 10], 11, [0, 0], [8, 2])
    assert counts == [8, 3]
    # A total below what is pruned is a falling schedule: there the shares decide.
    assert exact_counts([0.2, 0.2], [10, 10], 4, [0, 0], [8, 2]) == [2, 2]
