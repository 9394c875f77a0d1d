"""EnsLoss: the official numbers, its draws inside `fit`, and the ranking."""

from statistics import NormalDist

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.stateful_loss import FinalMemory
from keras_reweight.core.testing.backends import gradient, with_keras_mask
from keras_reweight.losses import ens_loss

Z = np.array([0.3, -1.2, 0.7, -0.4, 1.5, -2, 0.1, -0.6])
F = np.array([0.2, 1.7, -0.5, 0.4, -1.2, 2.5, -0.1, 0.9], "float32")
Y = np.array([1, 1, 1, 0, 0, 0, 1, 0])
OFFICIAL = {
    0.0: (
        0.4775926,
        [-0.068602, -0.009951, -0.125, 0.125, 0.031375, 0.125, -0.083790, 0.125],
    ),
    0.5: (0.5132501, [-0.06125, -1.3e-7, -0.125, 0.125, 0.016667, 0.125, -0.08, 0.125]),
    -0.5: (
        0.4513097,
        [-0.073965, -0.018382, -0.125, 0.125, 0.040690, 0.125, -0.086806, 0.125],
    ),
}


def hashed(x):
    """The integer hash `lowbias32`, on Python integers."""
    x &= 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


def normals(number, seed, step=0):
    key = hashed(hashed(step) + seed * 0x9E3779B9)
    uniform = [((hashed(hashed(i) + key) >> 9) + 0.5) / 2**23 for i in range(number)]
    return np.array([NormalDist().inv_cdf(u) for u in uniform])


def slopes(margins, z, box_cox):
    if box_cox == 0:
        r = np.exp(z)
    else:
        with np.errstate(divide="ignore"):
            r = np.maximum(1 + box_cox * z, 0) ** (1 / box_cox)
    g = np.maximum(np.sort(-r), -1.0)
    given = np.empty_like(g)
    given[np.argsort(margins, kind="stable")] = g
    return np.where(margins > 1, given / np.where(margins > 1, margins, 1.0), given) - 1e-6


def reference(y_true, y_pred, box_cox, seed):
    s = (2 * np.asarray(y_true) - 1.0) * y_pred[:, 0]
    return slopes(s, normals(len(s), seed), box_cox) * s


def reference_gradient(y_true, y_pred, cotangent, box_cox, seed):
    u = 2 * np.asarray(y_true) - 1.0
    g = slopes(u * y_pred[:, 0], normals(len(u), seed), box_cox)
    return (cotangent * g * u)[:, None]


def with_memory(loss):
    loss.memory = FinalMemory(loss.state_spec())
    return loss


@pytest.fixture
def official_draws(monkeypatch):
    def draw(margins, *_):
        return ops.convert_to_tensor(Z[: margins.shape[0], None].astype("float32"))

    monkeypatch.setattr(ens_loss, "normal_like", draw)


@pytest.mark.parametrize("box_cox", list(OFFICIAL))
def test_official_numbers(official_draws, box_cox):
    loss = with_memory(kr.losses.EnsLoss(box_cox))
    expected, slope = OFFICIAL[box_cox]
    np.testing.assert_allclose(ops.convert_to_numpy(loss(Y, F)), expected, rtol=1e-6)
    np.testing.assert_allclose(gradient(lambda f: loss(Y, f), F), slope, rtol=0, atol=6e-7)


def test_masked_rows_take_no_part_in_the_ranking(official_draws):
    loss = with_memory(kr.losses.EnsLoss(reduction="none"))
    kept = np.array([0, 2, 3, 5, 6])
    mask = np.isin(np.arange(8), kept)
    found = ops.convert_to_numpy(loss(Y, with_keras_mask(F, mask)))
    alone = ops.convert_to_numpy(loss(Y[kept], F[kept]))
    np.testing.assert_allclose(found[kept], alone, rtol=1e-6)
    assert not found[~mask].any()


def test_columns_are_ranked_on_their_own():
    loss = with_memory(kr.losses.EnsLoss(reduction="none"))
    logits = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    labels = (logits > 0.3).astype("int32")[:, ::-1].copy()
    found = ops.convert_to_numpy(loss(labels, logits))
    z = normals(12, 0).reshape(6, 2)
    s = (2.0 * labels - 1.0) * logits
    parts = [slopes(s[:, k], z[:, k], 0.0) * s[:, k] for k in range(2)]
    np.testing.assert_allclose(found, np.mean(parts, axis=0), rtol=1e-4, atol=1e-6)


def test_without_memory_the_callback_is_named():
    with pytest.raises(RuntimeError, match="LossState"):
        kr.losses.EnsLoss()(Y, F)


class SeeLosses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses, self.box_cox = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])
        self.box_cox.append(float(self.model.loss.memory.read()["box_cox"]))


def fit(loss, epochs=3, eager=False, callback=None):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[1.0]])
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=eager)
    see = SeeLosses()
    state = callback or kr.callbacks.LossState()
    model.fit(F[:, None], Y, batch_size=8, epochs=epochs, verbose=0, shuffle=False,
              callbacks=[state, see])  # fmt: skip
    return np.array(see.losses), see.box_cox


def test_every_compiled_step_draws_anew_and_as_the_formula_says():
    found, _ = fit(kr.losses.EnsLoss(seed=5))
    s = (2.0 * Y - 1.0) * F
    expected = [np.mean(slopes(s, normals(8, 5, step), 0.0) * s) for step in (1, 2, 3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert len(set(found.round(5))) == 3
    eager, _ = fit(kr.losses.EnsLoss(seed=5), eager=True)
    np.testing.assert_allclose(found, eager, rtol=1e-5)


def test_box_cox_is_drawn_anew_after_a_period():
    _, found = fit(kr.losses.EnsLoss(0.25, redraw_steps=2), epochs=4)
    assert found[0] == 0.25 and found[1] != 0.25
    assert found[2] == found[1] and found[3] != found[1]
    assert all(-1 < box_cox < 1 for box_cox in found)


def test_a_second_fit_goes_on_with_new_draws():
    loss = kr.losses.EnsLoss()
    first, _ = fit(loss)
    second, _ = fit(loss)
    assert not np.isclose(first, second).any()
    whole, _ = fit(kr.losses.EnsLoss(), epochs=6)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-6)
