import keras
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.qat.confidence_guided_annealing import near_boundary
from tests.compress.qat import steps


def reference_free(kernel, bits, within):
    """StatsQ position of every weight, compared with every boundary inside the grid."""
    n = 2 ** (bits - 1)
    scale = 2.0 * np.abs(kernel).mean(axis=0, keepdims=True)
    position = np.clip(kernel / scale, -1.0, 1.0 - 1e-6) * n - 0.5
    free = np.zeros(kernel.shape, bool)
    for code in range(-n, n - 1):
        free |= np.abs(position - code - 0.5) <= within
    return free


def reference_annealed(kernel, gradients, bits, within):
    weight = steps.Momentum(kernel)
    for gradient in gradients["kernel"]:
        before, free = weight.value, reference_free(weight.value, bits, within)
        weight.step(np.where(free, gradient, 0.0))
        weight.value = np.where(free, weight.value, before)
    return weight.value


@pytest.mark.parametrize("bits", [2, 3])
def test_only_weights_at_a_boundary_move(bits):
    small = {"kernel": 0.05 * steps.GRADIENTS["kernel"]}
    model = steps.quantized(weight=kc.quantizers.StatsQuantizer(bits))
    steps.apply(model, kc.callbacks.ConfidenceGuidedAnnealing(0.2), gradients=small)
    kernel = reference_annealed(steps.KERNEL.astype("float64"), small, bits, 0.2)
    np.testing.assert_allclose(steps.kernel_of(model), kernel, rtol=1e-5)
    held = kernel == steps.KERNEL
    assert held.any() and not held.all()
    np.testing.assert_array_equal(steps.kernel_of(model)[held], steps.KERNEL[held])
    share = reference_free(kernel, bits, 0.2).mean()
    np.testing.assert_allclose(model.last_logs["free_weights"], share, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "SGD"])
def test_held_weights_and_their_codes_stay_to_the_last_bit(optimizer):
    extra = {"weight_decay": 0.1} | ({"momentum": 0.9} if optimizer == "SGD" else {})
    optimizer = getattr(keras.optimizers, optimizer)(0.05, **extra)
    model = steps.quantized(weight=kc.quantizers.StatsQuantizer(2), optimizer=optimizer)
    quantizer = model.layers[0].weight_quantizers["kernel"]
    steps.apply(model)  # momentum that would go on moving the weights
    seen = []

    def note():
        kernel = model.layers[0].layer.kernel
        free = steps.host(near_boundary(quantizer, kernel, 0.1))
        seen.append((steps.kernel_of(model), steps.host(quantizer.codes(kernel)[0]), free))

    note()
    steps.apply(model, kc.callbacks.ConfidenceGuidedAnnealing(0.1), each=note)
    moved = 0
    for (before, codes, free), (after, new_codes, _) in zip(seen[:-1], seen[1:], strict=True):
        assert before[~free].tobytes() == after[~free].tobytes()
        np.testing.assert_array_equal(codes[~free], new_codes[~free])
        moved += np.count_nonzero(before != after)
    assert moved > 0


def test_clipped_weights_are_sure_of_their_code():
    kernel = np.array([4.0, -9.0, 0.01, 0.6, 0.9], "float32")[:, None] * np.ones((1, 3), "float32")
    quantizer = kc.quantizers.LSQQuantizer(2)
    quantizer.initialize_from(kernel)
    quantizer.scale.assign(np.ones((1, 3)))
    free = steps.host(near_boundary(quantizer, kernel, 0.2))
    np.testing.assert_array_equal(free[:, 2], [False, False, False, True, False])
