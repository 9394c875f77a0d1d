import numpy as np
import pytest

import keras_compress as kc

LOSSES = np.array([0.3, 0.1, 0.7, 0.5])


def report(final, **arguments):
    final = list(final)
    return kc.analysis.pruning_oracle_report(
        lambda number: (number, LOSSES[number]), lambda number: final[number], n=4, **arguments
    )


def test_tau_and_anomalies():
    found = report([2.0, 3.0, 1.0, 4.0])
    # Pairs in the order of the losses 1, 0, 3, 2: results 3, 2, 4, 1; two of six agree.
    assert found.tau == pytest.approx((2 - 4) / 6) and found.anomaly_ratio == 0.5
    assert np.array_equal(found.pruned, LOSSES) and not found.correlated
    turned = report([-2.0, -3.0, -1.0, -4.0], higher_is_better=True)
    assert (turned.tau, turned.anomaly_ratio) == (found.tau, found.anomaly_ratio)
    assert "4 candidates" in str(found)


def test_repeats_are_averaged():
    draws = iter(np.arange(8.0))
    found = kc.analysis.pruning_oracle_report(
        lambda number: (None, -number), lambda _: next(draws), n=4, repeats=2
    )
    assert found.final.tolist() == [0.5, 2.5, 4.5, 6.5] and found.tau == -1.0


def test_losses_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="candidate 1"):
        report([1.0, np.nan, 2.0, 3.0])
    with pytest.raises(TypeError, match="`prune`"):
        kc.analysis.pruning_oracle_report(None, float)
