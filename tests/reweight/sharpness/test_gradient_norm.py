"""The length of the gradient as a penalty."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta import models
from tests.reweight.sharpness import test_sam


def reference_step(penalty, radius):
    """Kernel and bias after a step."""
    values = [models.KERNEL, models.BIAS]
    here = test_sam.gradients(*values)
    length = np.sqrt(sum((part**2).sum() for part in here))
    beyond = [v + radius * g / length for v, g in zip(values, here, strict=True)]
    there = test_sam.gradients(*beyond)
    return [
        v - test_sam.RATE * (g + penalty / radius * (t - g))
        for v, g, t in zip(values, here, there, strict=True)
    ]


@pytest.mark.parametrize(("penalty", "radius"), [(0.02, 0.1), (0.3, 0.3)])
def test_a_step_follows_the_formula(penalty, radius):
    found = test_sam.after_a_step(kr.sharpness.GradientNorm(penalty, radius=radius))
    for value, expected in zip(found, reference_step(penalty, radius), strict=True):
        assert_close(value, expected, "a weight after one step")


def test_it_is_exact_for_a_quadratic_loss():
    draws = np.random.default_rng(0)
    half = draws.normal(size=(4, 4))
    hessian, weights = half @ half.T, draws.normal(size=4)
    gradient = hessian @ weights
    rule = kr.sharpness.GradientNorm(0.3, radius=2.0)
    tensors = [[ops.convert_to_tensor(part, "float32")] for part in (weights, gradient)]
    (beyond,) = rule.neighbor(*tensors)
    there = hessian @ ops.convert_to_numpy(beyond)
    (found,) = rule.combine(tensors[1], [ops.convert_to_tensor(there, "float32")])
    expected = gradient + 0.3 * hessian @ gradient / np.linalg.norm(gradient)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-4)
