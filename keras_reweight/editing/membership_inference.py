"""Whether samples can be told to have been in the training data."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.validation import check_number

# Newton's method on a convex function of a few numbers takes less than ten steps.
_STEPS = 100


def membership_inference(
    target: Any, *, members: Any, non_members: Any, penalty: float = 1.0
) -> dict[str, float]:
    """Attack a model: how many samples of `target` are taken for training data.

    A logistic regression learns to tell signals of samples that were trained on (`members`) from
    those of samples that were not, both counting alike; then it is asked about `target`. Signals
    are numbers that look different for training data: the entropy of the prediction, the loss, or
    several; `kr.scores.prediction_scores` gives them. Use it on a model that should have forgotten
    `target`, next to the same numbers of a model trained without it, which is what to aim for.

    Not as a proof that nothing is left: stronger attacks train shadow models. On a model that
    does not overfit the attack finds nothing, before forgetting either; look at `"accuracy"`.

    Args:
        target: Float array of shape `(num_samples,)` or `(num_samples, num_signals)`.
        members: The same of training samples that were not to be forgotten.
        non_members: The same of samples never trained on.
        penalty: Float > 0, half of it times the squared slope is added to the summed loss. Defaults
            to `1.0`.

    Returns:
        Dict of floats: `"members"`, the share of `target` taken for members; `"auc"`, the
        probability that a sample of `target` looks more like a member than one of `non_members`
        (0.5 when it is forgotten); `"accuracy"`, that of the attack on what it was fitted to, the
        mean of both kinds.

    Raises:
        TypeError: If a signal is no array of numbers, or `penalty` is no number.
        ValueError: If signals are empty, not finite or of different shape, or `penalty` is not
            positive.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    rng = np.random.default_rng(0)
    entropy = {"members": rng.gamma(1.0, 0.1, 200), "non_members": rng.gamma(2.0, 0.4, 200)}
    found = kr.editing.membership_inference(rng.gamma(2.0, 0.4, 100), **entropy)
    ```

    Reference:
        Chundawat et al., "Can Bad Teaching Induce Forgetting?", AAAI 2023, arXiv 2205.08096, and
        Foster, Schoepf and Brintrup, arXiv 2308.07707, section 5 (the attack by entropies); Shokri
        et al., "Membership Inference Attacks Against Machine Learning Models", IEEE S&P 2017, arXiv
        1610.05820.

    Deviations:
        `"auc"` is ours: the share depends on where the attack puts its threshold.
    """
    signals = {
        "target": _signal("target", target),
        "members": _signal("members", members),
        "non_members": _signal("non_members", non_members),
    }
    shapes = {name: signal.shape for name, signal in signals.items()}
    if len({width for _, width in shapes.values()}) > 1:
        raise ValueError(
            "`target`, `members` and `non_members` must have the same signals, got shapes "
            f"{shapes}."
        )
    check_number("penalty", penalty, exclusive_minimum=0.0)
    inside, outside = signals["members"], signals["non_members"]
    slope, offset = _logistic_regression(inside, outside, penalty)
    scores = {name: signal @ slope + offset for name, signal in signals.items()}
    called = {name: float(np.mean(score > 0.0)) for name, score in scores.items()}
    return {
        "members": called["target"],
        "auc": _auc(scores["target"], scores["non_members"]),
        "accuracy": 0.5 * (called["members"] + 1.0 - called["non_members"]),
    }


def _signal(argument, value):
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{argument}` must be an array of numbers, got {value!r:.80}.")
    array = array.astype("float64")
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(
            f"`{argument}` must have shape (num_samples,) or (num_samples, num_signals), got "
            f"{array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"`{argument}` must be finite, got {value!r:.80}.")
    return array.reshape(len(array), -1)


def _logistic_regression(inside, outside, penalty):
    """Slope and offset; each kind weighs half of all samples."""
    x = np.concatenate([inside, outside])
    center, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    # Scaled for the conditioning alone: the penalty is on the slope in the units of the signals.
    x = np.concatenate([(x - center) / scale, np.ones((len(x), 1))], axis=1)
    y = np.repeat([1.0, 0.0], [len(inside), len(outside)])
    weight = np.where(y > 0.0, 0.5 * len(x) / len(inside), 0.5 * len(x) / len(outside))
    ridge = np.diag([*(penalty / scale**2), 0.0])

    def value(found):
        margins = x @ found
        losses = np.logaddexp(0.0, margins) - y * margins
        return weight @ losses + 0.5 * found @ ridge @ found

    found = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = 0.5 * (1.0 + np.tanh(0.5 * (x @ found)))
        gradient = x.T @ (weight * (p - y)) + ridge @ found
        curvature = (x * (weight * p * (1.0 - p))[:, None]).T @ x + ridge
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        size = 1.0
        while value(found - size * step) > value(found) and size > 1e-8:
            size *= 0.5
        found = found - size * step
        if np.abs(step).max() < 1e-10:
            break
    slope = found[:-1] / scale
    return slope, found[-1] - slope @ center


def _auc(high, low):
    """Probability that a value of `high` is above one of `low`; a tie counts half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left")
    up_to = np.searchsorted(ordered, high, side="right")
    return float(np.mean(below + up_to) / (2.0 * len(low)))
