import numpy as np

import keras_compress as kc
from tests.compress.qat import steps
from tests.compress.qat.test_gradient_disorder import reference as reference_disorder


def orderly():
    """Scale gradients: the first alternates, the second is steady, the third settles down."""
    signs = np.ones((14, 1, 3), "float32")
    signs[::2, :, 0] = -1.0
    signs[:5:2, :, 2] = -1.0
    return {**steps.GRADIENTS, "scale": 0.01 * signs}


def reference_frozen(kernel, gradients, threshold, interval):
    """Scales after the steps and the masks of every step, window by window."""
    scale = steps.Momentum(steps.reference_scale(kernel))
    frozen = np.zeros(scale.value.shape, bool)
    masks = []
    for step, gradient in enumerate(gradients["scale"]):
        before = scale.value
        scale.step(np.where(frozen, 0.0, gradient))
        scale.value = np.where(frozen, before, scale.value)
        if (step + 1) % interval == 0:
            first = max(step - interval, 0)
            frozen = reference_disorder(gradients["scale"][first : step + 1]) < threshold
        masks.append(frozen)
    return scale.value, np.array(masks)


def test_orderly_scales_rest_for_a_window():
    freezing = kc.callbacks.ScaleGradientFreezing(0.3, interval=4)
    masks = []
    model = steps.apply(
        steps.quantized(),
        freezing,
        gradients=orderly(),
        each=lambda: masks.append(*freezing.frozen.values()),
    )
    scale, expected = reference_frozen(steps.KERNEL, orderly(), 0.3, 4)
    np.testing.assert_array_equal(masks, expected)
    np.testing.assert_array_equal(expected[4, 0], [False, True, False])
    np.testing.assert_array_equal(expected[-1, 0], [False, True, True])
    np.testing.assert_allclose(steps.scale_of(model), scale, rtol=1e-5)
    assert model.last_logs == {"frozen_scales": np.mean(expected[-1])}


def test_a_model_without_learned_scales_is_refused():
    model = steps.quantized(weight=kc.quantizers.StatsQuantizer(2))
    try:
        kc.callbacks.ScaleGradientFreezing().set_model(model)
    except ValueError as error:
        assert "no learned scale" in str(error)
    else:
        raise AssertionError("accepted")
