"""Log-likelihood of sequences: brute force, masks, ids that do not count."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(size=(3, 4, 5)).astype("float32")
TOKENS = np.array([[0, 1, 2, 3], [4, -100, -100, 0], [-100, -100, 7, -1]])
MASK = np.array([[True, True, True, False], [True] * 4, [True] * 4])


def reference(logits, tokens, mask=None):
    found = np.zeros(len(logits))
    for row in range(len(logits)):
        for time, token in enumerate(np.asarray(tokens)[row].astype(int)):
            counts = mask is None or mask[row, time]
            if counts and 0 <= token < logits.shape[-1]:
                z = logits[row, time]
                found[row] += z[token] - z.max() - np.log(np.exp(z - z.max()).sum())
    return found


@pytest.mark.parametrize("mask", [None, MASK])
def test_matches_brute_force(mask):
    found = ops.convert_to_numpy(kr.functional.sequence_log_prob(LOGITS, TOKENS, mask))
    np.testing.assert_allclose(found, reference(LOGITS.astype("float64"), TOKENS, mask), rtol=1e-5)
    assert found[2] == 0.0


def test_half_precision_is_summed_in_float32():
    half = ops.cast(ops.convert_to_tensor(LOGITS), "bfloat16")
    found = kr.functional.sequence_log_prob(half, TOKENS)
    exact = ops.convert_to_numpy(ops.cast(half, "float32")).astype("float64")
    np.testing.assert_allclose(ops.convert_to_numpy(found), reference(exact, TOKENS), rtol=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="logits"):
        kr.functional.sequence_log_prob(LOGITS[0], TOKENS)
    with pytest.raises(ValueError, match="tokens"):
        kr.functional.sequence_log_prob(LOGITS, TOKENS[0])
    with pytest.raises(ValueError, match="mask"):
        kr.functional.sequence_log_prob(LOGITS, TOKENS, np.ones(3))
    with pytest.raises(ValueError, match="y_true"):
        kr.functional.sequence_log_prob(LOGITS, TOKENS[:, :3])
