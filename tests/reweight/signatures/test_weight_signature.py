import re

import keras
import numpy as np
import pytest

from keras_reweight.signatures import (
    Patch,
    WeightSignature,
    WeightSnapshot,
    shallow,
    weight_digest,
)
from keras_reweight.signatures.live_weights import read_weights
from keras_reweight.signatures.weight_digest import digest_of
from tests import parity_record
from tests.reweight.signatures import models


def reference_rws(pretrained, clean, robust):
    """`v - a (a . v) / (a . a)` of one tensor, in float64; `v` where `a` is zero."""
    v = (robust.astype("float64") - pretrained.astype("float64")).ravel()
    a = (clean.astype("float64") - pretrained.astype("float64")).ravel()
    if not a.any():
        return v.reshape(robust.shape)
    along = sum(x * y for x, y in zip(a, v, strict=True)) / sum(x * x for x in a)
    return (v - along * a).reshape(robust.shape)


def three(kind="functional"):
    return [models.build(kind, seed) for seed in range(3)]


def vector_model(values):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.weights[0].assign(np.reshape(values, (3, 1)))
    return model


def test_vector_computed_by_hand():
    pretrained = vector_model([1.0, 1.0, 1.0])
    clean = vector_model([2.0, 3.0, 3.0])
    robust = vector_model([4.0, 1.0, 4.0])
    signature = WeightSignature.extract(pretrained, clean, robust)
    np.testing.assert_allclose(signature.delta(0).ravel(), [2.0, -2.0, 1.0], atol=1e-15)
    assert signature.kind == "rws"
    plain = WeightSignature.extract(pretrained, clean, robust, project=False)
    np.testing.assert_array_equal(plain.delta(0).ravel(), [2.0, -2.0, 1.0])
    assert plain.kind == "difference"


def test_task_vector_computed_by_hand():
    """Fine-tuned minus pretrained, added with strength 0.5 and subtracted."""
    pretrained, tuned = vector_model([1.0, 2.0, 0.0]), vector_model([2.0, 0.0, 0.0])
    vector = WeightSignature.extract(clean=pretrained, robust=tuned)
    for alpha, expected in ((0.5, [1.5, 1.0, 0.0]), (-0.5, [0.5, 3.0, 0.0])):
        with vector.patched(pretrained, alpha):
            np.testing.assert_array_equal(read_weights(pretrained)[0].ravel(), expected)


@pytest.mark.parametrize("kind", models.KINDS)
def test_equals_the_reference(kind):
    pretrained, clean, robust = three(kind)
    signature = WeightSignature.extract(pretrained, clean, robust, name="noise")
    arrays = [read_weights(model) for model in (pretrained, clean, robust)]
    assert signature.name == "noise"
    for index in signature.indices:
        expected = reference_rws(*(array[index] for array in arrays))
        np.testing.assert_allclose(signature.delta(index), expected, rtol=1e-9, atol=1e-12)
        along = arrays[1][index].astype("float64") - arrays[0][index]
        size = np.linalg.norm(along) * np.linalg.norm(signature.delta(index))
        assert abs(np.vdot(along, signature.delta(index))) <= 1e-12 * max(size, 1.0)
    parity_record.record(f"rws/{kind}", signature.delta(signature.indices[0]))


def test_a_tensor_that_clean_training_did_not_move_is_not_projected():
    pretrained, clean, robust = three()
    clean.weights[0].assign(pretrained.weights[0])
    signature = WeightSignature.extract(pretrained, clean, robust, layers="early")
    start, end = read_weights(pretrained)[0], read_weights(robust)[0]
    np.testing.assert_array_equal(signature.delta(0), end.astype("float64") - start)


def test_projection_is_per_tensor():
    pretrained, clean, robust = three("nested")
    full = WeightSignature.extract(pretrained, clean, robust)
    before = full.delta(1)
    clean.weights[0].assign(clean.weights[0] * 3.0)
    changed = WeightSignature.extract(pretrained, clean, robust)
    np.testing.assert_array_equal(changed.delta(1), before)
    assert np.abs(changed.delta(0) - full.delta(0)).max() > 1e-3


def test_the_difference_leads_from_clean_to_robust():
    _, clean, robust = three()
    signature = WeightSignature.extract(clean=clean, robust=robust, batch_norm="statistics")
    with signature.patched(clean):
        assert weight_digest(clean) == weight_digest(robust)


def test_moving_statistics_are_not_touched_unless_asked_and_never_projected():
    pretrained, clean, robust = three()
    moving = {i for i, v in enumerate(clean.weights) if "moving" in v.path}
    for batch_norm in ("skip", "affine"):
        signature = WeightSignature.extract(pretrained, clean, robust, batch_norm=batch_norm)
        assert not moving & set(signature.indices)
    signature = WeightSignature.extract(pretrained, clean, robust, batch_norm="statistics")
    assert moving <= set(signature.indices)
    with signature.patched(clean):
        patched, wanted = read_weights(clean), read_weights(robust)
        for index in moving:
            np.testing.assert_array_equal(patched[index], wanted[index])


def test_layers_and_report():
    signature = WeightSignature.extract(*three(), layers=shallow(1), batch_norm="skip")
    assert signature.paths == ("early/kernel", "early/bias")
    assert signature.skipped["head"] == "not selected"
    assert "batch_norm='skip'" in signature.skipped["early_norm"]
    signature = WeightSignature.extract(*three(), layers=re.compile("head"))
    assert signature.paths == ("head/kernel", "head/bias")


def test_snapshots_stand_in_for_models():
    pretrained, clean, robust = three()
    expected = WeightSignature.extract(pretrained, clean, robust).digest()
    for arguments in (
        (WeightSnapshot(pretrained), clean, robust),
        (WeightSnapshot(pretrained), WeightSnapshot(clean), robust),
        (WeightSnapshot(pretrained), clean, WeightSnapshot(robust)),
    ):
        assert WeightSignature.extract(*arguments).digest() == expected


def test_records_where_it_came_from(tmp_path):
    pretrained, clean, robust = three()
    signature = WeightSignature.extract(pretrained, clean, robust, layers="early")
    assert signature.sources == {
        name: digest_of({i: array for i, array in read_weights(model).items() if i < 2})
        for name, model in (("clean", clean), ("pretrained", pretrained), ("robust", robust))
    }
    signature.save(tmp_path / "early.sig")
    loaded = WeightSignature.load(tmp_path / "early.sig")
    assert type(loaded) is WeightSignature and loaded.sources == signature.sources
    assert loaded.kind == "rws" and loaded.digest() == signature.digest()
    assert type(Patch.load(tmp_path / "early.sig")) is Patch


def test_kinds_of_sums(tmp_path):
    pretrained, clean, robust = three("nested")
    rws = WeightSignature.extract(pretrained, clean, robust, name="r")
    plain = WeightSignature.extract(clean=clean, robust=robust, name="d")
    assert type(rws * 0.5) is WeightSignature and (rws + rws).kind == "rws"
    assert (plain - plain).kind == "difference" and (rws + plain).kind == "composition"
    (rws + plain).save(tmp_path / "sum.sig")
    assert WeightSignature.load(tmp_path / "sum.sig").name == "r+d"


def test_mixed_precision_and_frozen_layers():
    trio = [models.dense(seed, dtype="mixed_bfloat16") for seed in range(3)]
    for model in trio:
        model.get_layer("first").trainable = False
    signature = WeightSignature.extract(*trio, layers=shallow(2))
    assert signature.paths == ("first/kernel", "first/bias", "second/kernel", "second/bias")


def test_models_with_seed_states():
    trio = [models.functional(seed) for seed in range(3)]
    assert len(trio[0].variables) > len(trio[0].weights)
    signature = WeightSignature.extract(*trio)
    assert all(np.isfinite(signature.delta(index)).all() for index in signature.indices)


def changed(model, index, value):
    model.weights[index].assign(np.full(tuple(model.weights[index].shape), value))
    return model


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    (
        (lambda: {"project": True, "pretrained": None}, ValueError, "`project=True` needs `pret"),
        (lambda: {"project": "yes"}, ValueError, "`project` must be one of.*'yes'"),
        (lambda: {"batch_norm": "all"}, ValueError, "`batch_norm` must be one of.*'all'"),
        (lambda: {"robust": None}, ValueError, "`robust` must be a model or a WeightSnapshot"),
        (lambda: {"clean": None}, ValueError, "`clean` must be a model or a WeightSnapshot"),
        (lambda: {"clean": "model"}, TypeError, "`clean`.*'model'"),
        (lambda: {"clean": models.dense(units=6)}, ValueError, "`clean`, compared with `robust`"),
        (lambda: {"pretrained": models.nested()}, ValueError, "`pretrained`, compared with"),
        (lambda: {"layers": "third"}, ValueError, "no layer named 'third'"),
        (lambda: {"layers": []}, ValueError, "selects no layer"),
        (lambda: {"name": ""}, ValueError, "`name`"),
        (lambda: {"robust": changed(models.dense(), 2, np.nan)}, ValueError, "second/kernel.*NaN"),
        (
            lambda: {k: WeightSnapshot(models.dense()) for k in ("pretrained", "clean", "robust")},
            ValueError,
            "snapshots only",
        ),
    ),
)
def test_bad_arguments(arguments, error, message):
    trio = {key: models.dense(i) for i, key in enumerate(("pretrained", "clean", "robust"))}
    with pytest.raises(error, match=message):
        WeightSignature.extract(**{**trio, **arguments()})


def noisy(x, seed):
    return x + 1.5 * np.random.default_rng(seed).normal(size=x.shape).astype("float32")


def test_brings_robustness_to_a_clean_model(tmp_path):
    """Three trainings on a small task: patched, the clean model does better on noise."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(4, 12)) * 1.5
    y = rng.integers(0, 4, 512)
    x = (centers[y] + 0.3 * rng.normal(size=(512, 12))).astype("float32")
    x[:, 6:] = 4.0 * np.sign(x[:, 6:])
    x_noise = x.copy()
    x_noise[:, 6:] = 4.0 * np.sign(rng.normal(size=(512, 6)))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(16, "tanh", name="first"),
            keras.layers.Dense(16, "tanh", name="second"),
            keras.layers.Dense(4, name="head"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def train(inputs, start=None):
        if start is not None:
            start.restore(model)
        model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
        model.fit(inputs, y, epochs=4, batch_size=64, verbose=0)
        return WeightSnapshot(model)

    pretrained = train(x)
    robust = train(x_noise, pretrained)
    clean = train(x, pretrained)

    def accuracy(inputs):
        return model.evaluate(inputs, y, batch_size=512, verbose=0, return_dict=True)["accuracy"]

    clean.restore(model)
    before, on_noise, on_clean = weight_digest(model), accuracy(x_noise), accuracy(x)
    signature = WeightSignature.extract(pretrained, model, robust, layers=shallow(1))
    signature.compress("int8").save(tmp_path / "noise.sig")
    small = WeightSignature.load(tmp_path / "noise.sig")
    with signature.patched(model):
        exact = accuracy(x_noise)
        assert exact >= on_noise + 0.05
        assert accuracy(x) >= on_clean - 0.025
    with small.patched(model):
        assert abs(accuracy(x_noise) - exact) <= 0.005
    assert weight_digest(model) == before and accuracy(x_noise) == on_noise
