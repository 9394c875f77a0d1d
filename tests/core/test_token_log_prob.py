"""Log-likelihoods of tokens: which tokens count, and masks of both shapes."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.token_log_prob import sequence_sums, token_log_prob

LOGITS = np.log(np.array([[[0.2, 0.8], [0.5, 0.5]], [[0.9, 0.1], [0.4, 0.6]]], "float32"))
TOKENS = np.array([[1, 0], [0, -100]])


def numpy_of(*tensors):
    return [ops.convert_to_numpy(tensor) for tensor in tensors]


def test_ids_outside_the_classes_do_not_count():
    log_probs, valid = numpy_of(*token_log_prob(LOGITS, TOKENS))
    np.testing.assert_array_equal(valid, [[True, True], [True, False]])
    np.testing.assert_allclose(log_probs, np.log([[0.8, 0.5], [0.9, 1.0]]), rtol=1e-5, atol=1e-7)


def test_one_more_id_can_be_ignored():
    _, valid = numpy_of(*token_log_prob(LOGITS, TOKENS, ignore_id=0))
    np.testing.assert_array_equal(valid, [[True, False], [False, False]])


@pytest.mark.parametrize(
    ("mask", "sums", "counts"),
    [
        (None, [0.4, 0.9], [2, 1]),
        ([[False, True], [True, True]], [0.5, 0.9], [1, 1]),
        ([True, False], [0.4, 1.0], [2, 0]),
    ],
)
def test_sums_leave_out_masked_tokens(mask, sums, counts):
    mask = None if mask is None else np.array(mask)
    total, count = numpy_of(*sequence_sums(*token_log_prob(LOGITS, TOKENS), mask))
    np.testing.assert_allclose(np.exp(total), sums, rtol=1e-5)
    np.testing.assert_array_equal(count, counts)


def test_one_hot_tokens_are_refused():
    with pytest.raises(ValueError, match="tokens"):
        token_log_prob(LOGITS, np.zeros((2, 2, 2)))
