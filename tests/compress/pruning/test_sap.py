import numpy as np
import pytest

from keras_compress.callbacks import Pruning
from keras_compress.pruning import SAP, pq_index
from tests.compress.pruning.models import Spy, fit, kernels, num_zeros, sequential
from tests.compress.pruning.test_pq_index import ROWS


def reference_pruned(weights, p, q, eta, gamma, beta):
    """How many of these survivors go, weight by weight as in the paper."""
    d = weights.size
    index = pq_index(weights, p=p, q=q)
    m = np.ceil(round(d * (1 + eta) ** (q / (p - q)) * (1 - index) ** (p * q / (q - p)), 9))
    return int(d * min(max(gamma * (1 - m / d), 0.0), beta) + 1e-9)


def reference(values, masks, p=0.5, q=1.0, eta=0.0, gamma=1.0, beta=0.9, scope="global"):
    arguments = (p, q, eta, gamma, beta)
    gone = [int((~mask).sum()) for mask in masks]
    left = [value[mask] for value, mask in zip(values, masks, strict=True)]
    if scope == "global":
        total = sum(gone) + reference_pruned(np.concatenate(left), *arguments)
        return total / sum(mask.size for mask in masks)
    if scope == "layer":
        return [g + reference_pruned(each, *arguments) for g, each in zip(gone, left, strict=True)]
    found = []
    for value, mask in zip(values, masks, strict=True):
        units = zip(
            value.reshape(-1, value.shape[-1]).T, mask.reshape(-1, mask.shape[-1]).T, strict=True
        )
        found.append(np.array([(~m).sum() + reference_pruned(v[m], *arguments) for v, m in units]))
    return found


def test_official_bound():
    index = pq_index(ROWS, axis=1)
    assert SAP().retained(4, index).tolist() == [4, 4, 1]
    assert SAP(eta=0.1).retained(4, index).tolist() == [3, 4, 1]


@pytest.mark.parametrize("scope", ["neuron", "layer", "global"])
def test_targets_of_masked_weights(scope):
    generator = np.random.default_rng(0)
    values = [generator.standard_t(2, size=(3, 2, 5)), generator.normal(size=(20, 4))]
    masks = [generator.random(value.shape) < 0.7 for value in values]
    arguments = {"eta": 0.1, "gamma": 1.2, "beta": 0.4, "scope": scope}
    found = SAP(**arguments).targets(values, masks)
    expected = reference(values, masks, **arguments)
    assert np.isscalar(found) == (scope == "global")
    for one, two in zip(np.atleast_1d(found) if scope == "global" else found,
                        np.atleast_1d(expected) if scope == "global" else expected,
                        strict=True):  # fmt: skip
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_equal_weights_stay_and_single_ones_are_kept():
    ones = [np.ones((4, 2))]
    assert SAP().targets(ones, [np.ones((4, 2), "bool")]) == 0.0
    mask = np.zeros((4, 2), "bool")
    mask[0] = True
    (found,) = SAP(scope="neuron", gamma=5.0).targets(ones, [mask])
    assert found.tolist() == [3, 3]
    (found,) = SAP(scope="neuron").targets(ones, [np.zeros((4, 2), "bool")])
    assert found.tolist() == [4, 4]


def test_it_slows_down():
    weights = np.random.default_rng(0).normal(size=2000)
    mask, shares = np.ones(2000, "bool"), []
    for _ in range(6):
        before = mask.sum()
        count = round(SAP().targets([weights], [mask]) * 2000)
        mask = np.ones(2000, "bool")
        mask[np.argsort(np.abs(weights))[:count]] = False
        shares.append(1 - mask.sum() / before)
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.4 * shares[0]


def test_in_a_callback_each_update_prunes_more():
    model = sequential("sgd")
    spy = Spy(num_zeros)
    pruning = Pruning(SAP(scope="neuron", eta=0.5), frequency=2)
    fit(model, pruning, spy)
    assert 30 <= spy.batches[0] < spy.batches[2] < spy.batches[4] < 70
    for kernel in kernels(model):
        assert (kernel != 0).any(axis=0).all()


def test_bad_arguments():
    for arguments in ({"p": 1.0}, {"q": 0.5}, {"eta": -1.0}, {"gamma": 0.0}, {"beta": 1.0},
                      {"scope": "word"}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(arguments))):
            SAP(**arguments)
