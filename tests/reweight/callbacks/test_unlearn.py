"""Unlearn: steps equal hand-written descent and ascent, at both granularities, masks respected."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.functional.test_sequence_nll import language_model, tokens

RNG = np.random.default_rng(1)
X = RNG.normal(size=(4, 3, 2)).astype("float32")
Y = RNG.integers(0, 5, (4, 3))
Y[2, 1:] = Y[1, 2] = -100
FORGET = np.array([1, 0, 1, 0], "int32")
KERNEL = RNG.normal(size=(2, 5)).astype("float32")
REFERENCE = np.array([3.0, 1.0, 2.0, 1.0])
ACTIVE = Y >= 0


def build(**compile_options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Dense(5, use_bias=False)])
    model.set_weights([KERNEL])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    model.compile(keras.optimizers.SGD(1.0), loss, **compile_options)
    kr.data.enable_aux_targets(model)
    return model


def fit(callback, group=FORGET, sample_id=None, **options):
    model = build(**options)
    targets = kr.data.pack_targets(Y, group=group, sample_id=sample_id)
    history = model.fit(X, targets, batch_size=4, verbose=0, callbacks=[callback])
    return model, history.history


def softmax_and_losses():
    logits = X.astype("float64") @ KERNEL
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p = p / p.sum(-1, keepdims=True)
    chosen = np.take_along_axis(p, np.maximum(Y, 0)[..., None], axis=-1)[..., 0]
    return p, np.where(ACTIVE, -np.log(chosen), 0.0)


def expected_kernel(coefficients):
    """One step of plain descent on `sum(coefficients * losses)`."""
    p, _ = softmax_and_losses()
    delta = np.where(ACTIVE, coefficients, 0.0)[..., None] * (p - np.eye(5)[np.maximum(Y, 0)])
    return KERNEL - np.einsum("btf,btc->fc", X.astype("float64"), delta)


def coefficients(shares, forget_weight, retain_weight):
    retain = ACTIVE & (FORGET == 0)[:, None]
    forget = ACTIVE & (FORGET == 1)[:, None]
    return np.where(
        forget, -forget_weight * shares, np.where(retain, retain_weight / retain.sum(), 0)
    )


def token_shares(weights):
    return weights / (ACTIVE & (FORGET == 1)[:, None]).sum()


def test_gradient_ascent_on_tokens():
    model, history = fit(kr.callbacks.Unlearn(forget_weight=0.5, retain_weight=2.0))
    expected = expected_kernel(coefficients(token_shares(np.ones((4, 3))), 0.5, 2.0))
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)
    _, losses = softmax_and_losses()
    forget, retain = ACTIVE & (FORGET == 1)[:, None], ACTIVE & (FORGET == 0)[:, None]
    found = {key.removeprefix("unlearn_"): value[0] for key, value in history.items()}
    np.testing.assert_allclose(found["forget_loss"], losses[forget].mean(), rtol=1e-5)
    np.testing.assert_allclose(found["retain_loss"], losses[retain].mean(), rtol=1e-5)
    np.testing.assert_allclose(
        found["forget_probability"], np.exp(-losses[forget]).mean(), rtol=1e-5
    )
    weighted = -0.5 * losses[forget].mean() + 2.0 * losses[retain].mean()
    np.testing.assert_allclose(found["loss"], weighted, rtol=1e-5)


def test_sat_imp_on_tokens():
    model, _ = fit(kr.callbacks.Unlearn(kr.weightings.SatImp(2.0, 0.5)))
    p = np.exp(-softmax_and_losses()[1])
    shares = token_shares(p**2 * (1 - p) ** 0.5)
    expected = expected_kernel(coefficients(shares, 1.0, 1.0))
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)


def test_sequences_count_by_their_mean():
    callback = kr.callbacks.Unlearn(kr.weightings.SimNPO(2.5, 0.4), granularity="sample")
    model, _ = fit(callback)
    _, losses = softmax_and_losses()
    lengths = ACTIVE.sum(axis=1)
    weights = 2.0 / (1.0 + np.exp(2.5 * (losses.sum(axis=1) / lengths - 0.4)))
    shares = (weights / lengths / 2.0)[:, None] * np.ones((1, 3))
    expected = expected_kernel(coefficients(shares, 1.0, 1.0))
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)


def npo(**options):
    return kr.callbacks.Unlearn(
        kr.weightings.NPO(0.5), granularity="sample", reference_nll=REFERENCE, **options
    )


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_npo_compares_sums_with_the_reference(run_eagerly):
    # Ids in another order than the rows.
    ids = np.array([2, 0, 3, 1])
    model, _ = fit(npo(retain_weight=0.0), sample_id=ids, run_eagerly=run_eagerly)
    _, losses = softmax_and_losses()
    weights = 2.0 / (1.0 + np.exp(0.5 * (losses.sum(axis=1) - REFERENCE[ids])))
    shares = (weights / 2.0)[:, None] * np.ones((1, 3))
    expected = expected_kernel(coefficients(shares, 1.0, 0.0))
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5, atol=1e-6)


def test_npo_is_the_gradient_of_its_loss():
    model = build()
    model.compile(keras.optimizers.SGD(1.0), kr.losses.NPOLoss(0.5))
    rows = FORGET == 1
    model.fit(X[rows], kr.data.pack_reference(Y[rows], REFERENCE[rows]), batch_size=2, verbose=0)
    other, _ = fit(npo(retain_weight=0.0), sample_id=np.arange(4))
    np.testing.assert_allclose(model.get_weights()[0], other.get_weights()[0], rtol=1e-5, atol=1e-6)


def test_a_batch_without_samples_to_forget():
    model, history = fit(kr.callbacks.Unlearn(), group=np.zeros(4, "int32"))
    assert np.isfinite(model.get_weights()[0]).all()
    assert "unlearn_forget_loss" not in history
    assert "unlearn_retain_loss" in history


def test_forgetting_lowers_the_likelihood_of_the_forget_set_alone():
    model, (x, y) = language_model(), tokens()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss)
    model.fit(x, y, epochs=40, batch_size=5, verbose=0)
    kr.data.enable_aux_targets(model)
    before = kr.functional.sequence_nll(model, x, y)
    group = np.array([1, 0, 0, 0, 0], "int32")
    callback = kr.callbacks.Unlearn(kr.weightings.SatImp(1.0))
    model.fit(
        x,
        kr.data.pack_targets(y, group=group),
        epochs=10,
        batch_size=5,
        verbose=0,
        callbacks=[callback],
    )
    after = kr.functional.sequence_nll(model, x, y)
    assert after[0] > before[0] and after[1:].sum() < before[1:].sum()


def test_padding_does_not_count():
    """Sequences padded with masked tokens are trained as without them."""
    found = []
    for length in (4, 6):
        model = language_model_of(length)
        x, y = tokens()
        x = np.pad(x, ((0, 0), (0, length - 4)))
        y = np.pad(y, ((0, 0), (0, length - 4)))
        model.compile(keras.optimizers.SGD(0.2), "sparse_categorical_crossentropy")
        kr.data.enable_aux_targets(model)
        targets = kr.data.pack_targets(y, group=np.array([1, 0, 0, 1, 0]))
        callback = kr.callbacks.Unlearn(kr.weightings.SatImp(1.0))
        history = model.fit(x, targets, batch_size=5, verbose=0, callbacks=[callback])
        found.append((*model.get_weights(), *[v[0] for v in history.history.values()]))
    for plain, padded in zip(*found, strict=True):
        np.testing.assert_allclose(padded, plain, rtol=1e-5, atol=1e-6)


def language_model_of(length):
    """Probabilities of 6 tokens; token 0 is padding."""
    embedding = keras.layers.Embedding(6, 4, mask_zero=True)
    head = keras.layers.Dense(6, activation="softmax")
    model = keras.Sequential([keras.Input((length,), dtype="int32"), embedding, head])
    rng = np.random.default_rng(8)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def test_refusals():
    with pytest.raises(ValueError, match="reference_nll"):
        kr.callbacks.Unlearn(kr.weightings.NPO(), granularity="sample")
    with pytest.raises(ValueError, match="granularity"):
        kr.callbacks.Unlearn(kr.weightings.NPO(), reference_nll=[1.0])
    with pytest.raises(ValueError, match="reference_nll"):
        kr.callbacks.Unlearn(kr.weightings.SatImp(), reference_nll=[1.0])
    with pytest.raises(ValueError, match="group"):
        build().fit(X, Y, verbose=0, callbacks=[kr.callbacks.Unlearn()])
    with pytest.raises(ValueError, match="sample_id"):
        fit(npo())
    with pytest.raises(ValueError, match="reference_nll"):
        fit(npo(), sample_id=np.arange(4) + 1)
