"""Quantization-aware training with gradients from a neighbor, as in GAQAT."""

import keras
import numpy as np

import keras_compress as kc
import keras_reweight as kr

STEPS_BEFORE = 2


def trained(steps):
    """Scale and kernel after some steps of SAM, with scales held after the first window."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(8, 4)).astype("float32")
    y = generator.normal(size=(8, 3)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.layers[0].kernel.assign(generator.normal(size=(4, 3)).astype("float32"))
    quantized = kc.quantize_aware(model, weights=3)
    trainer = kr.sharpness.SharpnessAware(quantized, kr.sharpness.SAM(0.05))
    trainer.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=True)
    # The same batch again and again: no gradient changes its sign, so each scale is orderly.
    freezing = kc.callbacks.ScaleGradientFreezing(1.0, interval=STEPS_BEFORE)
    trainer.fit(x, y, batch_size=8, epochs=steps, verbose=0, callbacks=[freezing])
    (frozen,) = freezing.frozen.values()
    found = {
        variable.name: keras.ops.convert_to_numpy(variable).copy()
        for variable in quantized.trainable_variables
    }
    return found["scale"], found["kernel"], frozen


def test_scales_are_held_under_sharpness_aware_training():
    scale, kernel, frozen = trained(STEPS_BEFORE)
    assert frozen.all()
    start, _, _ = trained(1)
    later, moved, still = trained(STEPS_BEFORE + 3)
    assert still.all()
    assert np.all(start != scale)
    np.testing.assert_array_equal(later, scale)
    assert np.all(moved != kernel)
