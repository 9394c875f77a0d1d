"""NPairWeighting: a cross-entropy for each positive."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import check_weights_are_the_gradient, numerical_weights


def reference_losses(similarity, positives, negatives, temperature=0.1, contrast="negatives"):
    found = []
    for row, near, far in zip(similarity / temperature, positives, negatives, strict=True):
        values = []
        for p in np.flatnonzero(near):
            rivals = [j for j in range(len(row)) if far[j] or (contrast == "all" and near[j])]
            total = np.exp(row[sorted({p, *rivals})]).sum()
            values.append(np.log(total) - row[p])
        found.append(np.mean(values) if values else 0.0)
    return np.array(found)


def reference(similarity, positives, negatives, **arguments):
    return numerical_weights(
        lambda *pairs: reference_losses(*pairs, **arguments), similarity, positives, negatives
    )


@pytest.mark.parametrize("contrast", ["negatives", "all"])
def test_the_weights_are_the_gradient(contrast):
    weighting = kr.metric_learning.NPairWeighting(0.4, contrast=contrast)
    check_weights_are_the_gradient(weighting)
    check_weights_are_the_gradient(weighting, kr.metric_learning.BatchHardMiner())
