"""Any weighting around any per-sample Keras loss, with the user's weights multiplied in."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

RNG = np.random.default_rng(5)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 0])
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
LOGITS = RNG.normal(size=(8, 3)).astype("float32")
SOFT = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
SAMPLE_WEIGHT = RNG.uniform(0.2, 2.0, 8).astype("float32")
COUNTS = [40, 20, 4]

LOSSES = {
    "sparse": (keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, LOGITS),
    "categorical": (keras.losses.CategoricalCrossentropy(from_logits=True), ONE_HOT, LOGITS),
    "focal": (keras.losses.CategoricalFocalCrossentropy(), ONE_HOT, SOFT),
    "generalized": (keras.losses.CategoricalGeneralizedCrossEntropy(0.5), LABELS, SOFT),
    "binary": (keras.losses.BinaryCrossentropy(), ONE_HOT, SOFT),
    "kl": (keras.losses.KLDivergence(), ONE_HOT * 0.9 + 0.1 / 3, SOFT),
    "hinge": (keras.losses.CategoricalHinge(), ONE_HOT, LOGITS),
    "squared": (keras.losses.MeanSquaredError(), ONE_HOT, LOGITS),
    "absolute": (keras.losses.MeanAbsoluteError(), ONE_HOT, LOGITS),
    "huber": (keras.losses.Huber(0.3), ONE_HOT, LOGITS),
    "log_cosh": (keras.losses.LogCosh(), ONE_HOT, LOGITS),
    "poisson": (keras.losses.Poisson(), ONE_HOT, SOFT),
    "cosine": (keras.losses.CosineSimilarity(), ONE_HOT, LOGITS),
    "comp_sum": (kr.losses.CompSumLoss(1.7), LABELS, LOGITS),
    "ldam": (kr.losses.LDAMLoss(COUNTS), LABELS, LOGITS),
}
WEIGHTINGS = {
    "lin_upper": kr.weightings.LinUpper(0.4),
    "quadratic": kr.weightings.Quadratic(0.4),
    "upper": kr.weightings.Upper(0.4),
    "kl_dro": kr.weightings.KLDRO(0.5),
    "cvar": kr.weightings.CVaR(0.4),
    "chi_square": kr.weightings.ChiSquareDRO(0.3),
    "focal": kr.weightings.Focal(2.0, from_logits=True),
    "class_balanced": kr.weightings.ClassBalanced(COUNTS, beta=0.9),
    "inverse": kr.weightings.InverseFrequency(COUNTS, normalization="mean_one"),
    "energy": kr.weightings.Energy(),
    "clipped": kr.weightings.Clipped(kr.weightings.LinUpper(0.4), maximum=1.2),
    "mixed": kr.weightings.Mixed(kr.weightings.KLDRO(0.5), mix=0.3),
    "product": kr.weightings.Product([kr.weightings.LinUpper(0.4), kr.weightings.Energy()]),
}


def value(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_every_weighting_around_every_loss(name):
    weighting = WEIGHTINGS[name]
    for key, (loss, y_true, y_pred) in LOSSES.items():
        losses = value(loss.call(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)))
        weights = value(weighting.sample_weights(losses, y_true, y_pred))
        expected = np.mean(weights * losses * SAMPLE_WEIGHT, dtype="float64")
        wrapped = kr.losses.ReweightedLoss(loss, weighting)
        found = value(wrapped(y_true, y_pred, sample_weight=SAMPLE_WEIGHT))
        np.testing.assert_allclose(found, expected, rtol=2e-5, err_msg=f"{name} around {key}")


def build(loss):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    generator = np.random.default_rng(6)
    model.set_weights([generator.normal(size=(4, 3)), np.zeros(3)])
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


X = RNG.normal(size=(8, 4)).astype("float32")
CLASS_WEIGHT = {0: 0.5, 1: 1.0, 2: 3.0}


@pytest.mark.parametrize("as_callback", [True, False])
def test_class_weight_is_the_same_as_sample_weight(as_callback):
    loss, weighting = LOSSES["sparse"][0], kr.weightings.KLDRO(0.5)
    kernels = []
    for options in (
        {"class_weight": CLASS_WEIGHT},
        {"sample_weight": np.array([CLASS_WEIGHT[label] for label in LABELS])},
    ):
        model = build(loss if as_callback else kr.losses.ReweightedLoss(loss, weighting))
        callbacks = [kr.callbacks.Reweight(weighting)] if as_callback else []
        model.fit(X, LABELS, batch_size=8, verbose=0, callbacks=callbacks, **options)
        kernels.append(model.get_weights()[0])
    np.testing.assert_allclose(kernels[0], kernels[1], rtol=1e-6)
    plain = build(loss)
    plain.fit(X, LABELS, batch_size=8, verbose=0, class_weight=CLASS_WEIGHT)
    assert np.abs(plain.get_weights()[0] - kernels[0]).max() > 1e-4


def test_class_weight_reaches_a_batch_loss():
    y = (LABELS > 0).astype("float32")
    weights = np.array([1.0, 4.0])
    kernels = []
    for options in (
        {"class_weight": {0: 1.0, 1: 4.0}},
        {"sample_weight": weights[y.astype(int)]},
    ):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.set_weights([np.ones((4, 1)), np.zeros(1)])
        model.compile(keras.optimizers.SGD(0.1), kr.losses.AnyLoss("f1", from_logits=True))
        model.fit(X, y, batch_size=8, verbose=0, **options)
        kernels.append(model.get_weights()[0])
    np.testing.assert_allclose(kernels[0], kernels[1], rtol=1e-6)


@pytest.mark.parametrize("targets", ["list", "dict"])
def test_outputs_as_a_list_take_targets_by_name(targets):
    inputs = keras.Input((4,))
    heads = [keras.layers.Dense(3, name=name)(inputs) for name in ("first", "second")]
    model = keras.Model(inputs, heads)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = {"first": loss, "second": loss} if targets == "dict" else [loss, loss]
    model.compile("sgd", losses)
    y = {"first": LABELS, "second": LABELS[::-1].copy()}
    y = y if targets == "dict" else list(y.values())
    before = [array.copy() for array in model.get_weights()]
    callbacks = [kr.callbacks.Reweight(kr.weightings.LinUpper(), outputs="first")]
    model.fit(X, y, batch_size=8, verbose=0, callbacks=callbacks)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.abs(old - new).max() > 0
