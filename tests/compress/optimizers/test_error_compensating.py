"""ErrorCompensating against its rule in NumPy, and what it must never do."""

import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_compress.optimizers._corrections import momentum_correction
from keras_compress.optimizers._grids import Float8Grid, IntegerGrid
from keras_reweight.core.counter_random import uniform_like

RNG = np.random.default_rng(0)
START = RNG.normal(size=(5, 3)).astype("float32")
GRADIENTS = RNG.normal(size=(6, 5, 3)).astype("float32")


def on_grid(values, bits):
    """Symmetric codes with a scale for each column."""
    largest = 2 ** (bits - 1) - 1
    step = np.abs(values).max(axis=0, keepdims=True) / largest
    return np.round(values / step) * step


def reference(
    start,
    gradients,
    grid=4,
    kind="adam",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=0.0,
    compensate=True,
    amsgrad=False,
):
    """A matrix after the steps."""
    w, m, v, v_max = start.astype("float64"), 0.0, 0.0, 0.0
    for step, g in enumerate(gradients.astype("float64"), start=1):
        w = w * (1 - learning_rate * weight_decay)
        if kind == "sgd":
            m = momentum * m - learning_rate * g
            moved = w + m
        else:
            m, v = momentum * m + (1 - momentum) * g, 0.999 * v + 0.001 * g * g
            v_max = np.maximum(v_max, v) if amsgrad else v
            alpha = learning_rate * np.sqrt(1 - 0.999**step) / (1 - momentum**step)
            per_move = (np.sqrt(v_max) + 1e-7) / alpha
            moved = w - m / per_move
        w = on_grid(moved, grid)
        error = moved - w
        if compensate:
            m = m + (1 / momentum - 1) * error * (1 if kind == "sgd" else -per_move)
    return w


def reference_of_parts(start, gradients, grid, compensate=True):
    """For the catalog: only the matrix is on the grid, the vector is trained as ever."""
    matrix = reference(start[0], gradients[0], grid, compensate=compensate)
    w, m, v = start[1].astype("float64"), 0.0, 0.0
    for step, g in enumerate(gradients[1].astype("float64"), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        alpha = 0.05 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        w = w - alpha * m / (np.sqrt(v) + 1e-7)
    return [matrix, w]


def apply(optimizer, start=START, gradients=GRADIENTS):
    variable = keras.Variable(start, name="kernel")
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    return ops.convert_to_numpy(variable.value)


SGD = ("SGD", {"learning_rate": 0.05, "momentum": 0.8}, {"kind": "sgd", "momentum": 0.8})
ADAM = ("Adam", {"learning_rate": 0.05}, {})
AMSGRAD = ("Adam", {"learning_rate": 0.05, "amsgrad": True}, {"amsgrad": True})
ADAMW = ("AdamW", {"learning_rate": 0.05, "weight_decay": 0.5}, {"weight_decay": 0.5})


@pytest.mark.parametrize("case", [SGD, ADAM, AMSGRAD, ADAMW], ids=["sgd", "adam", "amsgrad", "w"])
@pytest.mark.parametrize("compensate", [True, False])
def test_steps_follow_the_rule(case, compensate):
    name, options, expected = case
    inner = getattr(keras.optimizers, name)(**options)
    found = apply(kc.optimizers.ErrorCompensating(inner, 4, compensate=compensate))
    wanted = reference(START, GRADIENTS, compensate=compensate, **expected)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_with_the_error_of_the_step_before_the_carry_is_exact():
    """The quantized copy of float master weights, reproduced without them."""
    rate, momentum, bits = 0.05, 0.8, 4
    target = RNG.normal(size=(5, 3))
    master, velocity, path = START.astype("float64"), 0.0, []
    for _ in range(200):
        velocity = momentum * velocity - rate * (on_grid(master, bits) - target)
        master = master + velocity
        path.append(on_grid(master, bits))
    w = on_grid(START.astype("float64"), bits)
    carried = START - w
    velocity = carried / momentum
    for wanted in path:
        velocity = momentum * velocity - rate * (w - target)
        moved = w + velocity
        w = on_grid(moved, bits)
        velocity = velocity + momentum_correction(moved - w, carried, momentum)
        carried = moved - w
        np.testing.assert_allclose(w, wanted, rtol=1e-9)


def test_small_steps_add_up_only_with_compensation():
    """Steps below half a level: dropped they lead nowhere, carried they do."""
    start = np.array([[7.0], [1.0]], "float32")
    gradients = np.tile(np.array([[0.0], [-1.0]], "float32"), (40, 1, 1))
    ends = []
    for compensate in (False, True):
        inner = keras.optimizers.SGD(0.02, momentum=0.5)
        optimizer = kc.optimizers.ErrorCompensating(inner, 4, compensate=compensate)
        ends.append(apply(optimizer, start, gradients)[1, 0])
    # Without a grid the weight would end at 2.6.
    assert ends[0] == 1.0 and ends[1] >= 2.0


def test_weights_and_slots_in_a_compiled_fit_and_a_file(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="one"),
                              keras.layers.Dense(1, name="two")])  # fmt: skip
    inner = keras.optimizers.Adam(0.01)
    optimizer = kc.optimizers.ErrorCompensating(
        inner, 3, stochastic=True, layers=["one", re.compile("^nothing|two")]
    )
    model.compile(optimizer, "mse")
    x = RNG.normal(size=(32, 4)).astype("float32")
    model.fit(x, x[:, :1], batch_size=4, verbose=0)
    for layer in model.layers:
        kernel = layer.get_weights()[0]
        codes = kernel / np.abs(kernel).max(axis=0) * 3
        np.testing.assert_allclose(codes, np.round(codes), atol=1e-4)
    assert optimizer.variables == inner.variables
    assert int(ops.convert_to_numpy(optimizer.iterations)) == 8
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.layers == ["one", re.compile("^nothing|two")]
    for twin in (model, loaded):
        twin.fit(x, x[:, :1], batch_size=8, shuffle=False, verbose=0)
    for first, second in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@keras.saving.register_keras_serializable(package="test_error_compensating")
def noise_itself(values, noise):
    return noise


def test_noise_is_another_one_in_every_step_and_variable():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, use_bias=False),
            keras.layers.Dense(4, use_bias=False),
        ]  # fmt: skip
    )
    inner = keras.optimizers.SGD(0.0, momentum=0.5)
    model.compile(
        kc.optimizers.ErrorCompensating(
            inner, noise_itself, stochastic=True, compensate=False, seed=3
        ),
        "mse",
    )
    x = np.zeros((1, 4), "float32")
    for step in (1, 2):
        model.fit(x, x, verbose=0)
        for index, kernel in enumerate(model.get_weights()):
            wanted = uniform_like(np.zeros((4, 4)), 3, step, stream=index)
            np.testing.assert_array_equal(kernel, ops.convert_to_numpy(wanted))


@pytest.mark.parametrize("grid", [IntegerGrid(3), Float8Grid()])
def test_random_rounding_keeps_the_mean_and_grid_values(grid):
    values = ops.convert_to_tensor(START)
    nearest = ops.convert_to_numpy(grid(values))
    np.testing.assert_allclose(
        ops.convert_to_numpy(grid(ops.convert_to_tensor(nearest))), nearest, rtol=1e-6
    )
    noise = (np.arange(512, dtype="float32") + 0.5) / 512
    draws = [ops.convert_to_numpy(grid(values, float(one))) for one in noise]
    spacing = np.abs(draws[-1] - draws[0]).max()
    np.testing.assert_allclose(np.mean(draws, axis=0), START, atol=spacing / 400)


def test_float8_is_the_format_of_the_backend():
    values = np.concatenate([np.linspace(-448, 448, 301), 2.0 ** np.arange(-12, 8) * 1.1])
    values = values[:, None].astype("float32")
    cast = ops.cast(ops.cast(ops.convert_to_tensor(values), "float8_e4m3fn"), "float32")
    found = Float8Grid()(ops.convert_to_tensor(values))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(cast))


def test_rows_of_a_depthwise_kernel_and_of_zeros():
    kernel = RNG.normal(size=(3, 3, 4, 1)).astype("float32")
    kernel[:, :, 1] = 0.0
    found = ops.convert_to_numpy(IntegerGrid(4)(ops.convert_to_tensor(kernel)))
    wanted = np.zeros_like(kernel)
    for channel in (0, 2, 3):
        wanted[:, :, channel] = on_grid(kernel[:, :, channel].reshape(-1, 1), 4).reshape(3, 3, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_learning_rate_near_zero_drops_the_error():
    inner = keras.optimizers.Adam(0.05)
    optimizer = kc.optimizers.ErrorCompensating(inner, 4)
    variable = keras.Variable(START, name="kernel")
    gradient = ops.convert_to_tensor(GRADIENTS[0])
    optimizer.apply([gradient], [variable])
    optimizer.learning_rate = 0.0
    optimizer.apply([gradient], [variable])
    slots = [ops.convert_to_numpy(slot.value) for slot in inner.variables if slot.shape == (5, 3)]
    assert len(slots) == 2 and all(np.isfinite(slot).all() for slot in slots)
    before = ops.convert_to_numpy(variable.value)
    optimizer.learning_rate = 0.05
    optimizer.apply([gradient], [variable])
    assert np.abs(ops.convert_to_numpy(variable.value) - before).max() < 0.5


def test_a_quantizer_as_grid():
    inner = keras.optimizers.SGD(0.05, momentum=0.5)
    found = apply(kc.optimizers.ErrorCompensating(inner, kc.quantizers.StatsQuantizer(bits=2)))
    assert all(len(np.unique(column)) <= 4 for column in found.T)
    learned = kc.optimizers.ErrorCompensating(
        keras.optimizers.SGD(0.05, momentum=0.5), kc.quantizers.LSQQuantizer(bits=2)
    )
    with pytest.raises(ValueError, match="`grid`.*weights of its own"):
        apply(learned)


def test_only_chosen_matrices_are_touched():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="one"),
                              keras.layers.Dense(1, name="two")])  # fmt: skip
    variables = model.trainable_variables
    gradients = [ops.ones(variable.shape) for variable in variables]
    optimizer = kc.optimizers.ErrorCompensating(
        keras.optimizers.SGD(0.1, momentum=0.5), 2, layers=lambda variable: "one" in variable.path
    )
    optimizer.apply(gradients, variables)
    one, two = (layer.get_weights()[0] for layer in model.layers)
    assert len(np.unique(np.abs(one[:, 0]))) <= 2 and len(np.unique(two)) == 3
    for layers, message in (("three", "'three' matches no weight matrix"), ([], "no variable")):
        optimizer = kc.optimizers.ErrorCompensating(keras.optimizers.Adam(), layers=layers)
        with pytest.raises(ValueError, match=message):
            optimizer.build(variables)


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (lambda: keras.optimizers.SGD(0.1), "momentum above zero"),
        (lambda: keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True), "Nesterov"),
        (lambda: keras.optimizers.Adam(beta_1=0.0), "beta_1"),
        (lambda: keras.optimizers.Adam(use_ema=True), "use_ema"),
        (lambda: keras.optimizers.Adam(loss_scale_factor=8.0), "LossScaleOptimizer"),
        (lambda: keras.optimizers.RMSprop(), "Adam, AdamW or SGD"),
    ],
)
def test_inner_optimizers_that_are_refused(inner, message):
    with pytest.raises(ValueError, match=message):
        kc.optimizers.ErrorCompensating(inner())


def test_half_precision_variables_are_refused():
    variable = keras.Variable(START, name="kernel", dtype="bfloat16")
    with pytest.raises(ValueError, match="bfloat16"):
        kc.optimizers.ErrorCompensating(keras.optimizers.Adam()).build([variable])


def test_a_quantizer_does_not_round_at_random():
    with pytest.raises(ValueError, match="stochastic"):
        kc.optimizers.ErrorCompensating(
            keras.optimizers.Adam(), kc.quantizers.StatsQuantizer(), stochastic=True
        )
