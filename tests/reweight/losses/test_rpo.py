"""RPOLoss: reference numbers of both variants, and DPO as its limit."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.losses.test_dpo import POLICY, TARGETS
from tests.reweight.losses.test_dpo import reference as dpo


def reference(y_true, y_pred, beta=0.1, eta=0.2, sft="average", label_smoothing=0.0):
    scale = 1.0 / y_true[:, 2] if sft == "average" else beta
    return dpo(y_true, y_pred, beta, label_smoothing) - eta * scale * y_pred[:, 0]


@pytest.mark.parametrize(
    ("sft", "eta", "expected"),
    [("cumulative", 0.005, [0.626957, 0.672460]), ("average", 0.2, [0.860957, 0.935126])],
)
def test_reference_numbers(sft, eta, expected):
    loss = kr.losses.RPOLoss(0.1, eta, sft=sft, reduction=None)
    np.testing.assert_allclose(
        ops.convert_to_numpy(loss(TARGETS, POLICY)), expected, rtol=0, atol=8e-7
    )


@pytest.mark.parametrize("sft", ["average", "cumulative"])
def test_without_anchor_it_is_dpo(sft):
    found = kr.losses.RPOLoss(0.3, 0.0, sft=sft, label_smoothing=0.1)(TARGETS, POLICY)
    expected = kr.losses.DPOLoss(0.3, label_smoothing=0.1)(TARGETS, POLICY)
    assert float(found) == float(expected)


def test_averages_need_the_number_of_tokens():
    with pytest.raises(ValueError, match="y_true"):
        kr.losses.RPOLoss()(TARGETS[:, :2], POLICY)
    kr.losses.RPOLoss(sft="cumulative")(TARGETS[:, :2], POLICY)
