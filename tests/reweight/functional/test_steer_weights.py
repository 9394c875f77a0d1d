"""steer_weights: official vectors, the floor, and values that are not finite."""

import numpy as np
from keras import ops

from keras_reweight.functional import steer_weights

ADVANTAGE = np.array([[1.0] * 4, [-0.5] * 4], "float32")
ENTROPY = np.array([[0.2, 1, 2, 0], [0.5, 0.1, 3, 1]], "float32")
LOG_PROBS = np.log([[0.9, 0.5, 0.05, 0.99], [0.6, 0.98, 0.01, 0.3]]).astype("float32")
OLD_LOG_PROBS = np.log([[0.88, 0.5, 0.06, 0.99], [0.6, 0.97, 0.02, 0.25]]).astype("float32")
MASK = np.array([[True] * 4, [True] * 3 + [False]])
# Made by running the official code on the values above.
LINEAR = [[1.1951391, 1.1221882, 0.8, 1.2], [1.1989523, 1.1996419, 0.9984342, 0]]
EXPONENTIAL = [[0.9972638, 0.9574987, 0.8, 0.9999716], [0.9993873, 0.9997718, 0.8936337, 0]]


def inputs():
    return {
        "log_probs": LOG_PROBS,
        "old_log_probs": OLD_LOG_PROBS,
        "entropy": ENTROPY,
        "advantage": ADVANTAGE,
        "mask": MASK,
    }


def reference(
    log_probs,
    old_log_probs,
    entropy,
    advantage,
    mask,
    minimum=0.8,
    maximum=1.0,
    mode="exponential",
    floor=0.02,
):
    p = np.clip(np.exp(log_probs), 1e-8, 1 - 1e-8)
    old = np.maximum(np.exp(old_log_probs), 1e-8)
    change = np.abs(advantage / old) * np.abs(p * (1 - p) * (np.log(p) + entropy))
    seen = change[mask]
    if mode == "exponential":
        k = -np.log(minimum) / max(seen.max(), floor)
        weights = np.clip(np.exp(-k * change), minimum, maximum)
    else:
        position = (change - seen.min()) / np.ptp(seen)
        weights = maximum - position * (maximum - minimum)
    return np.where(mask, weights, 0.0)


def test_official_vectors():
    found = ops.convert_to_numpy(steer_weights(**inputs()))
    np.testing.assert_allclose(found, EXPONENTIAL, rtol=1e-6)
    found = ops.convert_to_numpy(steer_weights(**inputs(), mode="linear", maximum=1.2))
    np.testing.assert_allclose(found, LINEAR, rtol=1e-6)


def test_small_changes_keep_weights_near_one():
    small = {**inputs(), "advantage": ADVANTAGE * np.float32(1e-6)}
    found = ops.convert_to_numpy(steer_weights(**small))
    np.testing.assert_allclose(found[MASK], 1.0, rtol=1e-4)


def test_equal_changes_get_the_middle():
    equal = {name: np.zeros((2, 4), "float32") for name in inputs()}
    equal["mask"] = None
    found = ops.convert_to_numpy(steer_weights(**equal, mode="linear", maximum=1.2))
    np.testing.assert_allclose(found, 1.0, rtol=1e-6)


def test_what_is_not_finite_counts_as_no_change():
    advantage = ADVANTAGE.copy()
    advantage[0, 2] = np.nan
    found = ops.convert_to_numpy(steer_weights(**{**inputs(), "advantage": advantage}))
    assert found[0, 2] == 1.0 and np.isfinite(found).all()
    assert found[1, 2] < 0.8001


def test_one_advantage_for_each_sequence_and_no_mask():
    found = steer_weights(LOG_PROBS, OLD_LOG_PROBS, ENTROPY, ADVANTAGE[:, :1])
    all_tokens = {**inputs(), "mask": np.ones((2, 4), bool)}
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(steer_weights(**all_tokens)), rtol=1e-6
    )
