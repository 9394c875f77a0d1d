import keras
import numpy as np
import pytest

from keras_compress.pruning import NMPattern, UniformAllocation, prune_weights

L = keras.layers


def reference_mask(kernel, n, m):
    """The best `n` of every `m` of each column; the last group is filled up with zeros."""
    mask = np.zeros(kernel.shape, "bool")
    for column in range(kernel.shape[1]):
        for begin in range(0, kernel.shape[0], m):
            group = np.abs(kernel[begin : begin + m, column])
            for place in sorted(range(len(group)), key=lambda i: (-group[i], -i))[:n]:
                mask[begin + place, column] = True
    return mask


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8), (2, 3)])
def test_exactly_n_of_m_at_the_highest_sparsity(n, m):
    kernel = np.random.default_rng(0).normal(size=(24, 5)).round(1)
    pattern = NMPattern(n, m)
    units = pattern.units(np.abs(kernel))
    np.testing.assert_array_equal(np.isposinf(units), reference_mask(kernel, n, m))
    np.testing.assert_array_equal(units[np.isfinite(units)], np.abs(kernel)[np.isfinite(units)])


def test_groups_that_are_filled_up_lose_less():
    kernel = np.random.default_rng(0).normal(size=(10, 3))
    kept = np.isposinf(NMPattern(2, 4).units(np.abs(kernel)))
    np.testing.assert_array_equal(kept, reference_mask(kernel, 2, 4))
    assert kept[8:].all()


def test_what_is_gone_stays_gone():
    score = np.array([[-np.inf], [-np.inf], [-np.inf], [1.0], [5.0], [4.0], [3.0], [2.0]])
    units = NMPattern(2, 4).units(score)
    assert units[:, 0].tolist() == [-np.inf, -np.inf, -np.inf, np.inf, np.inf, np.inf, 3.0, 2.0]


def test_groups_lie_along_the_inputs_of_every_layer():
    inputs = keras.Input((6, 6, 8))
    x = L.Conv2D(8, 2, name="conv")(inputs)
    x = L.Conv2DTranspose(5, 2, name="transposed")(x)
    x = L.Reshape((36, 5))(x)
    x = L.MultiHeadAttention(2, 4, output_shape=4, name="attention")(x, x)
    model = keras.Model(inputs, L.Dense(3, name="head")(x))
    masks = prune_weights(
        model,
        0.5,
        allocation=UniformAllocation(min_keep=0.0),
        pattern=NMPattern(2, 4),
        layers=["conv", "transposed", "attention_output", "head"],
    ).masks
    conv, transposed, attention, head = masks.values()
    assert (conv.reshape(2, 2, 2, 4, 8).sum(axis=3) == 2).all()
    assert (transposed.reshape(2, 2, 5, 2, 4).sum(axis=4) == 2).all()
    assert (attention.reshape(2, 4, 4).sum(axis=1) == 2).all()
    assert (head.sum(axis=0) == 2).all()


def test_an_axis_of_choice():
    model = keras.Sequential([keras.Input((6,)), L.Dense(8)])
    (mask,) = prune_weights(model, 0.5, pattern=NMPattern(axis=-1)).masks.values()
    assert (mask.reshape(6, 2, 4).sum(axis=2) == 2).all()
    with pytest.raises(ValueError, match=r"`axis`=2.*kernel"):
        prune_weights(model, 0.5, pattern=NMPattern(axis=2))


def test_less_prunes_candidates_only_and_more_is_refused():
    model = keras.Sequential([keras.Input((8,)), L.Dense(6, use_bias=False)])
    kernel = model.get_weights()[0]
    (mask,) = prune_weights(model, 0.25, pattern=NMPattern(2, 4)).masks.values()
    assert (~mask).sum() == 12
    assert not (~mask & reference_mask(kernel, 2, 4)).any()
    prune_weights(model, 0.5, pattern=NMPattern(2, 4))
    np.testing.assert_array_equal(model.get_weights()[0] != 0, reference_mask(kernel, 2, 4))
    with pytest.raises(ValueError, match=r"0\.6 cannot be reached with 2 of 4.*0\.5"):
        prune_weights(model, 0.6, pattern=NMPattern(2, 4))


def test_bad_arguments():
    for arguments, error in (
        ({"n": 0}, ValueError),
        ({"m": 2}, ValueError),
        ({"n": 1.5}, TypeError),
    ):
        with pytest.raises(error, match=next(iter(arguments))):
            NMPattern(**arguments)
