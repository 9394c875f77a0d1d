"""membership_inference against a general minimizer."""

import numpy as np
import pytest
from scipy import optimize

from keras_reweight.editing import membership_inference


def signals(width=None, shift=1.0):
    """Overlapping groups of unequal size."""
    rng = np.random.default_rng(0)
    shape = lambda n: n if width is None else (n, width)  # noqa: E731
    return {
        "target": rng.normal(0.4 * shift, 1.0, shape(30)),
        "members": rng.normal(0.0, 1.0, shape(60)),
        "non_members": rng.normal(shift, 1.0, shape(40)),
    }


def reference(target, members, non_members, penalty=1.0):
    """Minimize the weighted losses as they are written down, count the pairs one by one."""
    target, members, non_members = (
        np.asarray(part, "float64").reshape(len(part), -1)
        for part in (target, members, non_members)
    )
    total = len(members) + len(non_members)

    def objective(found):
        inside = np.logaddexp(0.0, -(members @ found[:-1] + found[-1]))
        outside = np.logaddexp(0.0, non_members @ found[:-1] + found[-1])
        return total / 2 * (inside.mean() + outside.mean()) + penalty / 2 * (found[:-1] ** 2).sum()

    start = np.zeros(members.shape[1] + 1)
    found = optimize.minimize(objective, start, method="BFGS", options={"gtol": 1e-9}).x
    of_target, of_members, of_others = (
        part @ found[:-1] + found[-1] for part in (target, members, non_members)
    )
    pairs = [(a > b) + 0.5 * (a == b) for a in of_target for b in of_others]
    return {
        "members": (of_target > 0).mean(),
        "auc": np.mean(pairs),
        "accuracy": ((of_members > 0).mean() + (of_others <= 0).mean()) / 2,
    }


@pytest.mark.parametrize("width", [None, 2])
@pytest.mark.parametrize("penalty", [0.1, 30.0])
def test_regression_and_counts(width, penalty):
    given = signals(width)
    found = membership_inference(**given, penalty=penalty)
    expected = reference(**given, penalty=penalty)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


def test_separable_and_useless_signals():
    found = membership_inference(np.zeros(5), members=np.zeros(9), non_members=np.ones(4))
    assert found == {"members": 1.0, "auc": 1.0, "accuracy": 1.0}
    found = membership_inference(np.ones(5), members=np.zeros(9), non_members=np.ones(4))
    assert (found["members"], found["auc"]) == (0.0, 0.5)
    found = membership_inference(np.ones(5), members=np.ones(9), non_members=np.ones(4))
    assert found["auc"] == 0.5


def test_the_unit_of_a_signal_matters_to_the_penalty_alone():
    given = signals()
    small = membership_inference(**{k: 1e-3 * v for k, v in given.items()}, penalty=1e-6)
    assert small == membership_inference(**given, penalty=1.0)


def test_what_is_no_signal_is_refused():
    with pytest.raises(ValueError, match="same signals"):
        membership_inference(np.ones((3, 2)), members=np.ones(3), non_members=np.ones(3))
    with pytest.raises(ValueError, match="members.*finite"):
        membership_inference(np.ones(3), members=[np.nan], non_members=np.ones(3))
