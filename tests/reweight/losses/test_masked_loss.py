"""MaskedLoss: masked samples are no partners; weights and reductions are those of Keras."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import with_keras_mask


@keras.saving.register_keras_serializable(package="tests")
class AboveMean(kr.losses.MaskedLoss):
    """How far the square of each error is from the mean of the others that are there."""

    def losses(self, y_true, y_pred, mask):
        errors = ops.square(ops.reshape(y_true, (-1,)) - ops.reshape(y_pred, (-1,)))
        valid = ops.cast(mask, errors.dtype)
        mean = ops.sum(errors * valid) / ops.maximum(ops.sum(valid), 1.0)
        return ops.abs(errors - ops.stop_gradient(mean)) + errors


P = np.array([1.0, -2.0, 4.0, 0.5, 3.0, -1.0], "float32")
ZEROS = np.zeros(6, "float32")
MASK = np.array([True, True, False, True, False, True])


def reference(p, mask=None):
    errors = p.astype("float64") ** 2
    mean = errors.mean() if mask is None else errors[mask].mean()
    return np.abs(errors - mean) + errors


def value(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_masked_samples_are_no_partners(shape):
    loss = AboveMean(reduction="none")
    found = value(loss(ZEROS, with_keras_mask(P.reshape(shape), MASK)))
    np.testing.assert_allclose(found[MASK], reference(P, MASK)[MASK], rtol=1e-6)
    assert not found[~MASK].any()


def test_weights_multiply_the_values():
    weight = np.array([1.0, 0.0, 2.0, 1.0, 0.5, 3.0], "float32")
    found = value(AboveMean()(ZEROS, P, weight))
    np.testing.assert_allclose(found, np.mean(weight * reference(P)), rtol=1e-6)


def test_a_mask_of_every_step_is_refused():
    p = with_keras_mask(np.zeros((6, 2), "float32"), np.ones((6, 2), bool))
    with pytest.raises(ValueError, match="mask"):
        AboveMean()(np.zeros((6, 2)), p)


def test_it_must_be_defined():
    with pytest.raises(NotImplementedError, match="losses"):
        kr.losses.MaskedLoss()(ZEROS, P)


class MaskZeros(keras.layers.Layer):
    """Masks the samples whose first feature is zero."""

    supports_masking = True

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs[:, 0], 0.0)

    def call(self, inputs):
        return inputs


def model_of(loss, **options):
    inputs = keras.Input((2,))
    dense = keras.layers.Dense(1, use_bias=False)
    dense.supports_masking = True
    model = keras.Model(inputs, dense(MaskZeros()(inputs)))
    dense.kernel.assign([[1.0], [0.5]])
    model.compile(keras.optimizers.SGD(0.01), loss, **options)
    return model


def data():
    x = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    x[~MASK, 0] = 0.0
    return x, x[:, 0] * 2.0


def test_a_keras_mask_reaches_the_loss_in_a_model():
    x, y = data()
    p = x @ [1.0, 0.5]
    found = model_of(AboveMean()).evaluate(x, y, batch_size=6, verbose=0)
    np.testing.assert_allclose(found, reference(p - y, MASK)[MASK].mean(), rtol=1e-5)


class SeeWeights(kr.weightings.Weighting):
    """Weights by a power of the loss, zero for what is masked."""

    normalization = "mean_one"

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        raw = ops.where(valid, losses, 0.0)
        count = ops.sum(ops.cast(valid, losses.dtype))
        return raw * count / ops.maximum(ops.sum(raw), 1e-12)


@pytest.mark.parametrize("eager", [True, False])
def test_reweight_around_a_masked_loss_with_a_keras_mask(eager):
    x, y = data()
    model = model_of(AboveMean(), run_eagerly=eager)
    reweight = kr.callbacks.Reweight(SeeWeights())
    found = model.fit(x, y, batch_size=6, verbose=0, callbacks=[reweight]).history["loss"][0]
    losses = reference(x @ [1.0, 0.5] - y, MASK)[MASK]
    expected = np.mean(losses * losses / losses.mean())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_reweighted_loss_around_a_masked_loss_with_a_keras_mask():
    x, y = data()
    found = model_of(kr.losses.ReweightedLoss(AboveMean(), SeeWeights()))
    found = found.evaluate(x, y, batch_size=6, verbose=0)
    losses = reference(x @ [1.0, 0.5] - y, MASK)[MASK]
    np.testing.assert_allclose(found, np.mean(losses * losses / losses.mean()), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_float32(policy):
    half = ops.cast(ops.convert_to_tensor(P), policy.removeprefix("mixed_"))
    found = AboveMean(reduction="none")(ZEROS, half)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(value(found), reference(P), rtol=1e-6)


def test_survives_a_keras_file(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", AboveMean(reduction="sum"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is AboveMean and loaded.loss.reduction == "sum"
