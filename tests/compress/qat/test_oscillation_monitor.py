import numpy as np

import keras_compress as kc
from tests.compress.qat import steps
from tests.compress.qat.test_gradient_disorder import reference as reference_disorder


def reference_frequencies(kernel, gradients, momentum):
    """Frequencies, and the share of codes that change in a step, seen at the begin of steps."""
    weight, scale = steps.Momentum(kernel), steps.Momentum(steps.reference_scale(kernel))
    frequency = np.zeros(kernel.shape)
    last = np.zeros(kernel.shape)
    before = steps.lsq_codes(weight.value, scale.value)
    changed = []
    for gradient, of_scale in zip(gradients["kernel"], gradients["scale"], strict=True):
        codes = steps.lsq_codes(weight.value, scale.value)
        change = np.sign(codes - before)
        frequency = (1 - momentum) * frequency + momentum * (change * last == -1)
        last[change != 0] = change[change != 0]
        before = codes
        changed.append(np.mean(change != 0))
        weight.step(gradient)
        scale.step(of_scale)
    return frequency, np.array(changed)


def reference_average(values, momentum):
    """Exponential average of the values after the first, by its definition."""
    weights = momentum * (1 - momentum) ** np.arange(len(values) - 1)[::-1]
    return np.tensordot(weights / weights.sum(), np.asarray(values)[1:], axes=1)


def test_frequencies_flips_and_disorder():
    monitor = kc.callbacks.OscillationMonitor(0.2, threshold=0.3)
    model = steps.quantized()
    apply = steps.apply(model, monitor)
    frequency, changed = reference_frequencies(steps.KERNEL, steps.GRADIENTS, 0.2)
    (path,) = monitor.frequencies
    np.testing.assert_allclose(monitor.frequencies[path], frequency, rtol=1e-5)
    assert 0.0 < monitor.shares[path] < 1.0
    assert apply.last_logs["oscillating_weights"] == np.mean(frequency > 0.3)
    wanted = reference_average(changed, 0.2)
    np.testing.assert_allclose(apply.last_logs["code_flips"], wanted, rtol=1e-5)
    signs = np.sign(steps.GRADIENTS["scale"])
    flips = np.concatenate([signs[:1] * 0.0, signs[1:] * signs[:-1] < 0])
    (disorder,) = monitor.disorders.values()
    np.testing.assert_allclose(disorder, reference_average(flips, 0.2), rtol=1e-5)
    np.testing.assert_allclose(flips[1:].mean(axis=0), reference_disorder(signs))


def test_it_sees_what_an_annealing_leaves_of_an_update_in_any_order():
    logs = []
    for first in (True, False):
        callbacks = [
            kc.callbacks.OscillationMonitor(0.2),
            kc.callbacks.ConfidenceGuidedAnnealing(1e-6),
        ]
        model = steps.quantized(weight=kc.quantizers.StatsQuantizer(2))
        logs.append(steps.apply(model, *(callbacks if first else callbacks[::-1])).last_logs)
        assert "scale_disorder" not in logs[-1]
    assert logs[0]["code_flips"] == logs[1]["code_flips"] == 0.0
