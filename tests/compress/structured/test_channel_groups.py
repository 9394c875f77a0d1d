import keras
from keras import layers

import keras_compress as kc


def test_groups_and_their_table():
    x = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(4, 1, name=f"conv{index}")(x) for index in range(6)]
    y = layers.Dense(3, name="hidden")(layers.Add()(parts))
    groups = kc.structured.channel_groups(keras.Model(x, layers.Dense(2, name="head")(y)))
    assert [(group.name, group.size, group.kind) for group in groups] == [
        ("conv0", 4, "channels"),
        ("hidden", 3, "units"),
    ]
    assert str(groups) == (
        "conv0: 4 channels, made by conv0, conv1, conv2, 3 more, read by hidden\n"
        "hidden: 3 units, made by hidden, read by head"
    )


def test_slices_name_positions_and_channels():
    x = keras.Input((2, 2, 3))
    y = layers.Conv2D(2, 1, name="conv")(x)
    y = layers.Flatten()(layers.BatchNormalization(name="norm")(y))
    (group,) = kc.structured.channel_groups(keras.Model(x, layers.Dense(2, name="head")(y)))
    found = {
        (piece.variable, piece.axis): (piece.index.tolist(), piece.channel.tolist(), piece.role)
        for piece in group.slices
    }
    both = ([0, 1], [0, 1])
    assert found == {
        ("conv/kernel", 3): (*both, "out"),
        ("conv/bias", 0): (*both, "out"),
        ("norm/gamma", 0): (*both, "channelwise"),
        ("norm/beta", 0): (*both, "channelwise"),
        ("norm/moving_mean", 0): (*both, "channelwise"),
        ("norm/moving_variance", 0): (*both, "channelwise"),
        ("head/kernel", 0): (list(range(8)), [0, 1] * 4, "in"),
    }
