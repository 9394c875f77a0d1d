import copy

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import (
    cheap_initial_values,
    check_pruning,
    images,
    keep_half,
    randomized,
    run,
    sizes,
    vectors,
)

__all__ = ["cheap_initial_values"]


def mlp(units=6):
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(units, activation="relu", name="first"),
            layers.Dense(4, name="second"),
            layers.Dense(2, name="head"),
        ],
        name="mlp",
    )


def test_residual_squeeze_excite_and_dense_concatenation():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(4, 3, padding="same", use_bias=False, name="stem")(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    z = layers.Conv2D(8, 1, activation="silu", name="expand")(y)
    z = layers.DepthwiseConv2D(3, padding="same")(z)
    z = layers.Conv2D(4, 1, name="project")(z)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(z)
    gate = layers.Conv2D(2, 1, activation="relu", name="squeeze")(gate)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="excite")(gate)
    y = layers.Add()([y, layers.Multiply()([z, gate])])
    y = layers.Concatenate()([y, layers.Conv2D(4, 3, padding="same", name="growth")(y)])
    y = layers.Flatten()(layers.MaxPooling2D(3)(y))
    y = layers.Dense(8, activation="gelu", name="hidden")(y)
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), images())
    assert sizes(graph) == {"stem": 4, "expand": 8, "squeeze": 2, "growth": 4, "hidden": 8}
    assert graph.group("stem").producers == ("stem", "project", "excite")
    assert graph.frozen == {"head": "output of the model"}
    assert set(graph.group("stem").consumers) == {"expand", "squeeze", "growth", "hidden"}


def test_models_in_models_are_pruned_inside_and_stay_nested():
    a = keras.Input((6, 6, 4))
    b = layers.Conv2D(4, 1, activation="relu", name="inside")(a)
    twice = keras.Model(a, layers.Add(name="plus")([a, b]), name="twice")
    sequence = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.Conv2D(6, 1, name="one"), layers.Conv2D(4, 1, name="two")],
        name="sequence",
    )
    x = keras.Input((6, 6, 3), name="image")
    y = layers.Conv2D(4, 1, name="outside")(x)
    y = sequence(twice(twice(y)))
    model = keras.Model(x, layers.Conv2D(2, 1, name="head")(y))
    graph, small = check_pruning(model, images())
    assert sizes(graph) == {"outside": 4, "sequence/one": 6, "sequence/two": 4}
    assert graph.group("outside").producers == ("outside", "twice/inside")
    inner = small.get_layer("twice")
    assert type(inner) is type(twice) and inner.inputs[0].shape[-1] == 2
    assert isinstance(small.get_layer("sequence"), keras.Sequential)


def test_a_shared_layer_unites_all_that_it_reads():
    x = keras.Input((5,))
    shared = layers.Dense(4, name="shared")
    norm = layers.BatchNormalization(name="norm")
    a, b = layers.Dense(6, name="a")(x), layers.Dense(6, name="b")(x)
    y = layers.Concatenate()([shared(norm(a)), shared(norm(b))])
    graph, _ = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), vectors())
    assert sizes(graph) == {"a": 6, "shared": 4}
    assert graph.group("a").producers == ("a", "b")


def test_shared_with_the_input_of_the_model_stays():
    x = keras.Input((5,))
    norm, shared = layers.BatchNormalization(name="norm"), layers.Dense(5, name="shared")
    y = shared(norm(shared(norm(x))))
    assert not ChannelGraph(keras.Model(x, layers.Dense(2)(y))).groups


def test_several_inputs_and_outputs_keep_names_and_structure():
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    y = layers.Dense(4, name="left")(a)
    z = layers.Dense(4, name="right")(b)
    y, out = layers.Add()([y, z]), layers.Dense(3, name="also_out")(z)
    again = layers.Dense(2, name="head")(layers.Concatenate()([y, out]))
    model = randomized(keras.Model({"a": a, "b": b}, {"main": again, "extra": out}))
    graph = ChannelGraph(model)
    (group,) = graph.groups
    assert set(group.producers) == {"left", "right"}
    assert set(graph.frozen) == {"also_out", "head"}
    small = graph.rebuild(keep_half(graph))
    found = run(small, {"a": vectors(), "b": vectors()})
    assert set(found) == {"main", "extra"} and found["extra"].shape == (2, 3)
    assert [one.name for one in small.inputs] == [one.name for one in model.inputs]


def test_sizes_flags_policies_and_regularizers_survive():
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, kernel_regularizer="l2", kernel_initializer="he_normal", name="first"),
            layers.Dropout(0.5, seed=3, name="dropout"),
            layers.Dense(4, dtype="mixed_bfloat16", name="second"),
            layers.Dense(2, name="head"),
        ],
        name="kept",
    )
    model.get_layer("first").trainable = False
    model.compile("sgd", "mse")
    graph = ChannelGraph(model)
    first = [True, False, True, True, False, True]
    small = graph.rebuild({"first": np.array(first)})
    assert small.name == "kept" and type(small) is keras.Sequential and not small.compiled
    layer = small.get_layer("first")
    assert not layer.trainable and isinstance(layer.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
    assert small.get_layer("second").dtype_policy.name == "mixed_bfloat16"
    expected = copy.deepcopy(model.get_layer("first").get_config())
    assert layer.get_config() == {**expected, "units": 4}
    kernel = keras.ops.convert_to_numpy(model.get_layer("first").kernel)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer.kernel), kernel[:, np.array(first)]
    )
    states = [
        keras.ops.convert_to_numpy(one.get_layer("dropout").variables[0]) for one in (model, small)
    ]
    np.testing.assert_array_equal(*states)


def test_saved_and_loaded_without_a_trace_of_us(tmp_path):
    model = randomized(mlp())
    small = ChannelGraph(model).rebuild({"first": np.arange(6) < 3})
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(run(loaded, vectors()), run(small, vectors()))
    assert "compress" not in small.to_json()


def test_keeping_everything_changes_nothing():
    model = randomized(mlp())
    graph = ChannelGraph(model)
    np.testing.assert_array_equal(run(graph.rebuild({}), vectors()), run(model, vectors()))
    assert graph.kept_positions({}) == {}


def test_kept_positions_of_every_weight():
    graph = ChannelGraph(mlp(4))
    kept = graph.kept_positions({"first": np.array([False, True, True, False])})
    assert {key: value.tolist() for key, value in kept.items()} == {
        ("first/kernel", 1): [1, 2],
        ("first/bias", 0): [1, 2],
        ("second/kernel", 0): [1, 2],
    }
    assert graph.variables["second/kernel"] is graph.model.get_layer("second").kernel


def test_unknown_layers_freeze_their_channels_and_are_copied():
    class Twice(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    x = keras.Input((5,))
    y = Twice(name="custom")(layers.Dense(4, name="before")(x))
    y = layers.Lambda(lambda z: z + 1, name="lambda")(y)
    y = layers.Dense(6, name="after")(y)
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), vectors())
    assert sizes(graph) == {"after": 6}
    assert "no rule for Twice" in graph.frozen["custom"]
    assert graph.frozen["before"] == "custom: no rule for Twice"
    assert "before: stays" in str(graph)


def test_models_that_cannot_be_followed_name_the_alternative():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Own()
    model(vectors())
    with pytest.raises(ValueError, match="prune_weights"):
        ChannelGraph(model)
    with pytest.raises(ValueError, match="built"):
        ChannelGraph(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(TypeError, match="Model"):
        ChannelGraph("model")


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"missing": np.ones(6, bool)}, "missing"),
        ({"first": np.ones(5, bool)}, r"\(6,\)"),
        ({"first": np.ones(6)}, "bool"),
        ({"first": np.zeros(6, bool)}, "keeps no channel"),
    ],
)
def test_wrong_choices(keep, message):
    with pytest.raises(ValueError, match=message):
        ChannelGraph(mlp()).rebuild(keep)


def test_many_channels_take_no_time():
    x = keras.Input((8,))
    y = z = layers.Dense(4096, use_bias=False)(layers.Dense(4, name="small")(x))
    for _ in range(20):
        y = layers.Concatenate()([layers.Add()([y, z]), z])
        y, _ = keras.ops.split(y, 2, axis=-1)
        z = layers.ReLU()(y)
    graph = ChannelGraph(keras.Model(x, layers.Dense(2)(y)))
    assert sorted(sizes(graph).values()) == [4, 4096]
