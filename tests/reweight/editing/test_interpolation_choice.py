"""InterpolationChoice: its gain."""

import pytest

import keras_reweight as kr
from tests.reweight.signatures import models
from tests.reweight.signatures.test_signature_patcher import make


def test_the_gain_is_that_over_the_model_as_it_was():
    patch = make(models.dense(), "shift")
    choice = kr.editing.InterpolationChoice(0.5, patch, (0.0, 0.5, 1.0), (0.7, 0.9, 0.4), None)
    assert choice.gain == pytest.approx(0.2)
