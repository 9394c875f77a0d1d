"""hard_patch_mask: counts of the official code, the hardest patches, random others."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.testing.backends import Compiled, evaluate
from keras_reweight.functional import hard_patch_mask
from tests.core.test_counter_random import reference as random_numbers

SCORES = np.random.default_rng(0).normal(size=(3, 20)).astype("float32")


def reference(scores, mask_ratio=0.75, hard_fraction=0.5, seed=0, step=0):
    rows, patches = scores.shape
    masked = patches - int(patches * (1 - mask_ratio))
    hard = int(masked * hard_fraction)
    random = np.reshape(random_numbers(rows * patches, seed, step, 0), scores.shape)
    mask = np.zeros(scores.shape, bool)
    for row in range(rows):
        hardest = np.argsort(-scores[row], kind="stable")[:hard]
        others = [i for i in np.argsort(random[row], kind="stable") if i not in hardest]
        mask[row, hardest] = True
        mask[row, others[: masked - hard]] = True
    return mask


def masked(**options):
    return evaluate(lambda scores: hard_patch_mask(scores, **options), SCORES)


@pytest.mark.parametrize(("epoch", "guided"), [(0, 0), (99, 36), (199, 73)])
def test_the_numbers_of_the_official_schedule(epoch, guided):
    rng = np.random.default_rng(1)
    scores = rng.permutation(196).astype("float32")[None]
    fraction = 0.5 * (epoch + 1) / 200
    mask = ops.convert_to_numpy(hard_patch_mask(scores, hard_fraction=fraction, seed=3))
    assert mask.sum() == 147
    hardest = np.argsort(-scores[0])
    assert mask[0, hardest[:guided]].all()
    # Chance masks 75 %, so those that follow are not all masked.
    assert not mask[0, hardest[: guided + 40]].all()
    np.testing.assert_array_equal(mask, reference(scores, 0.75, fraction, 3))


@pytest.mark.parametrize("hard_fraction", [0.0, 0.4, 1.0])
def test_as_in_numpy(hard_fraction):
    options = {"mask_ratio": 0.5, "hard_fraction": hard_fraction, "seed": 2, "step": 7}
    np.testing.assert_array_equal(masked(**options), reference(SCORES, **options))


def test_extreme_ratios():
    assert not masked(mask_ratio=0.0).any()
    assert masked(mask_ratio=1.0).all()


def test_steps_and_seeds_draw_others_and_rows_differ():
    first = masked(hard_fraction=0.0)
    assert (first != masked(hard_fraction=0.0, step=1)).any()
    assert (first != masked(hard_fraction=0.0, seed=1)).any()
    assert (first[0] != first[1]).any()


def test_ties_mask_as_many():
    mask = ops.convert_to_numpy(hard_patch_mask(np.zeros((2, 8), "float32"), hard_fraction=1.0))
    np.testing.assert_array_equal(mask, [[True] * 6 + [False] * 2] * 2)


def test_fraction_and_step_may_change_inside_a_compiled_step():
    compiled = Compiled(
        lambda scores, fraction, step: hard_patch_mask(scores, hard_fraction=fraction, step=step)
    )
    for fraction, step in ((0.25, 1), (0.5, 2)):
        found = compiled(SCORES, np.float32(fraction), np.int32(step))
        expected = reference(SCORES, hard_fraction=fraction, step=step)
        np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)
    assert compiled.traces == 1
