"""The stored form of every quantizer is what a call gives, bit for bit."""

import keras
import pytest

import keras_compress as kc
from tests.compress.quantization.common import assert_bitwise_equal, normal, numpy

Q = kc.quantizers
KERNEL = normal(2, 3, 4, seed=3)
MADE = {
    "lsq": lambda **k: Q.LSQQuantizer(3, **k),
    "lsq_plus": lambda **k: Q.LSQPlusQuantizer(3, **k),
    "stats": lambda **k: Q.StatsQuantizer(2, **k),
    "minmax": lambda **k: Q.MinMaxQuantizer(5, **k),
    "mse": lambda **k: Q.MSEQuantizer(3, symmetric=True, num_candidates=5, **k),
    "binary": lambda **k: Q.BinaryQuantizer(**k),
    "ternary": lambda **k: Q.TernaryQuantizer(**k),
    "e2m1": lambda **k: Q.FloatQuantizer("e2m1", **k),
    "power": lambda **k: Q.PowerQuantizer(4, exponent=0.6, **k),
    "codebook": lambda **k: Q.CodebookQuantizer(2, num_clusters=3, **k),
}


def check(quantizer, channel_axes):
    quantizer.initialize_from(KERNEL)
    stored = quantizer.stored(KERNEL, channel_axes)
    assert_bitwise_equal(stored.values(), numpy(quantizer(KERNEL)))
    grid = type(stored.grid).read(stored.grid.settings(), stored.grid.arrays(), stored.codes.shape)
    assert_bitwise_equal(grid.decode(stored.codes), stored.grid.decode(stored.codes))
    return stored


@pytest.mark.parametrize("name", MADE)
def test_channels_of_the_layer(name):
    stored = check(MADE[name](axis=-1), -1)
    assert stored.channel_axes == (2,) and stored.codes.shape == (6, 4)
    assert stored.code_bytes == -(-24 * stored.bits // 8)


@pytest.mark.parametrize(
    "name, axis, channel_axes, expected",
    [
        ("stats", None, (2,), (2,)),
        ("stats", (0, 1), -1, (2,)),
        ("stats", 1, (1, 2), (1, 2)),
        ("stats", 0, -1, (0,)),
        ("stats", -1, None, (2,)),
        ("codebook", None, -1, (2,)),
        ("codebook", (0, 1), -1, (0, 1)),
        ("codebook", 1, (1, 2), (1, 2)),
        ("e2m1", (0, 1), -1, (2,)),
    ],
)
def test_scales_of_other_axes(name, axis, channel_axes, expected):
    assert check(MADE[name](axis=axis), channel_axes).channel_axes == expected


@pytest.mark.parametrize("name", ["lsq", "lsq_plus", "minmax", "ternary", "e2m1"])
def test_groups_of_inputs(name):
    stored = check(MADE[name](axis=-1, group_size=4), -1)
    assert stored.grid.group_size == 4 and getattr(stored.grid, "group_axis", 0) == 0
    assert stored.grid.scale.shape == (2, 4)


def test_groups_of_outputs_inside_an_input():
    stored = check(MADE["stats"](axis=(0, 1), group_size=3), -1)
    assert (stored.grid.group_axis, stored.grid.scale.shape) == (1, (6, 2))
    assert check(MADE["e2m1"](axis=(0, 1), group_size=3), -1).grid.scale.shape == (6, 4)
    assert check(MADE["stats"](axis=None, group_size=5), -1).codes.shape == (24, 1)


def test_a_variable_and_the_bytes_of_a_packed_matrix():
    variable = keras.Variable(KERNEL)
    quantizer = Q.StatsQuantizer(4)
    quantizer.build_from(variable)
    stored = quantizer.stored(variable)
    assert stored.num_bytes == 12 + 4 * 4
    with pytest.raises(ValueError, match="not built"):
        Q.StatsQuantizer(4).stored(KERNEL)
