import keras
import numpy as np
import pytest

import keras_compress as kc
from tests.compress.qat import steps


def reference_freezing(kernel, gradients, threshold, momentum):
    """Algorithm 1: weights, masks of frozen weights."""
    weight, scale = steps.Momentum(kernel), steps.Momentum(steps.reference_scale(kernel))
    codes = steps.lsq_codes(weight.value, scale.value)
    average = codes.copy()
    frequency, last = np.zeros(kernel.shape), np.zeros(kernel.shape)
    frozen = np.zeros(kernel.shape, bool)
    for step, gradient in enumerate(gradients["kernel"]):
        held = weight.value
        weight.step(np.where(frozen, 0.0, gradient))
        scale.step(gradients["scale"][step])
        weight.value = np.where(frozen, held, weight.value)
        new = steps.lsq_codes(weight.value, scale.value)
        change = np.sign(new - codes)
        frequency = (1 - momentum) * frequency + momentum * (change * last == -1)
        last[change != 0] = change[change != 0]
        goal = np.round(average)
        average = np.where(frozen, average, (1 - momentum) * average + momentum * new)
        frozen = frozen | (frequency > (threshold(step) if callable(threshold) else threshold))
        far = np.abs(weight.value - goal * scale.value) > 0.25 * np.abs(scale.value)
        weight.value = np.where(frozen & far, goal * scale.value, weight.value)
        codes = new
    return weight.value, frozen


@pytest.mark.parametrize("falling", [False, True])
def test_weights_freeze_as_the_algorithm_says(falling):
    threshold = kc.schedules.PolynomialDecay(0.9, 0.3, end_step=10) if falling else 0.3
    freezing = kc.callbacks.OscillationFreezing(threshold, momentum=0.2)
    model = steps.apply(steps.quantized(), freezing)
    kernel, frozen = reference_freezing(steps.KERNEL, steps.GRADIENTS, threshold, 0.2)
    assert frozen.any() and not frozen.all()
    np.testing.assert_array_equal(next(iter(freezing.frozen.values())), frozen)
    np.testing.assert_allclose(steps.kernel_of(model), kernel, rtol=1e-5)
    assert model.last_logs == {"frozen_weights": frozen.mean()}


@pytest.mark.parametrize("method", ["lsq", "stats"])
def test_codes_of_frozen_weights_stay_under_momentum_and_weight_decay(method):
    kinds = {"lsq": kc.quantizers.LSQQuantizer, "stats": kc.quantizers.StatsQuantizer}
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.1)
    model = steps.quantized(weight=kinds[method](3), optimizer=optimizer)
    quantizer = model.layers[0].weight_quantizers["kernel"]
    freezing = kc.callbacks.OscillationFreezing(0.09, momentum=0.1)
    seen = []

    def note():
        (frozen,) = freezing.frozen.values()
        codes = steps.host(quantizer.codes(model.layers[0].layer.kernel)[0])
        seen.append((frozen, codes))

    steps.apply(model, freezing, each=note)
    held = 0
    for (frozen, codes), (_, later) in zip(seen[:-1], seen[1:], strict=True):
        np.testing.assert_array_equal(codes[frozen], later[frozen])
        held += frozen.sum()
    assert held > 10


def test_a_further_fit_of_the_same_model_goes_on_and_another_model_begins_anew():
    freezing = kc.callbacks.OscillationFreezing(0.3, momentum=0.2)
    model = steps.apply(steps.quantized(), freezing)
    first = freezing.get_state()
    half = {key: value[:1] for key, value in steps.GRADIENTS.items()}
    steps.apply(model, freezing, gradients=half)
    assert freezing.get_state()["step"] == first["step"] + 1
    steps.apply(steps.quantized(), freezing, gradients=half)
    assert freezing.get_state()["step"] == 1
    assert not np.any(next(iter(freezing.frozen.values())))


def test_a_state_of_another_model_is_refused():
    model = steps.quantized()
    freezing = kc.callbacks.OscillationFreezing()
    freezing.set_model(model)
    with pytest.raises(ValueError, match="must hold"):
        freezing.set_state({"step": np.asarray(3)})
    state = freezing.get_state()
    with pytest.raises(ValueError, match="must have shape"):
        freezing.set_state({**state, "average/0": np.zeros((2, 2))})
    freezing.detach()
    assert "apply" not in vars(model.optimizer)


def test_a_model_without_quantized_weights_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no quantization-aware layer"):
        kc.callbacks.OscillationFreezing().set_model(model)
