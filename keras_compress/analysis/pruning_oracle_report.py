"""Does the loss right after pruning say what comes after retraining?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_compress.analysis.oracle_report import OracleReport
from keras_reweight.core.kendall_tau import kendall_tau
from keras_reweight.core.validation import check_boolean, check_integer


def pruning_oracle_report(
    prune: Callable[[int], tuple[Any, float]],
    retrain: Callable[[Any], float],
    n: int = 50,
    *,
    repeats: int = 1,
    higher_is_better: bool = False,
) -> OracleReport:
    """Rank correlation between the loss after pruning and the result after retraining.

    Many criteria look for weights whose removal raises the loss least. That is of use only if a low
    loss right after pruning leads to a good model in the end, and on many networks it does not.
    Use it to check before a search over criteria: prune in `n` ways, retrain them all, compare.

    Args:
        prune: Function of an integer from 0 to `n - 1` that prunes (at random, or by different
            criteria) and returns `(candidate, loss after pruning)`.
        retrain: Function of a candidate that retrains a copy of it and returns a float: a loss, or
            an accuracy (`higher_is_better=True`).
        n: Integer >= 2, number of candidates. Defaults to `50`.
        repeats: Integer >= 1, how often each candidate is retrained; the mean counts. Defaults to
            `1`.
        higher_is_better: Boolean, what `retrain` returns. Defaults to `False`.

    Returns:
        An `OracleReport`: `tau`, `p_value`, `anomaly_ratio` and all numbers.

    Raises:
        TypeError: If `prune` or `retrain` is no function, or a number of the wrong kind.
        ValueError: If `n` or `repeats` is too small, or a loss is not finite.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    noise = np.random.default_rng(0).normal(size=20)
    report = kc.analysis.pruning_oracle_report(
        lambda number: (number, float(number)), lambda candidate: candidate + noise[candidate], n=20
    )
    assert report.tau > 0.5
    ```

    Reference:
        Feng et al., "Is Oracle Pruning the True Oracle?", arXiv 2412.00143;
        github.com/fscdc/Oracle-Pruning-Sanity-Check.

    Deviations:
        With an accuracy the sign of `tau` is turned, so that positive is what criteria hope for.

    Cost:
        `n` prunings and `n * repeats` retrainings.
    """
    for name, function in (("prune", prune), ("retrain", retrain)):
        if not callable(function):
            raise TypeError(f"`{name}` must be a function, got {function!r}.")
    check_integer("n", n, minimum=2)
    check_integer("repeats", repeats, minimum=1)
    check_boolean("higher_is_better", higher_is_better)
    pruned, final = [], []
    for number in range(n):
        candidate, loss = prune(number)
        results = [float(retrain(candidate)) for _ in range(repeats)]
        pruned.append(float(loss))
        final.append(float(np.mean(results)))
        if not np.isfinite([pruned[-1], final[-1]]).all():
            raise ValueError(
                f"`prune` and `retrain` must give finite numbers, got {pruned[-1]} and {results} "
                f"for candidate {number}."
            )
    before, after = np.asarray(pruned), np.asarray(final)
    costs = -after if higher_is_better else after
    tau, p_value = kendall_tau(before, costs)
    better = costs < costs[before.argmin()]
    return OracleReport(before, after, tau, p_value, float(np.mean(better)))
