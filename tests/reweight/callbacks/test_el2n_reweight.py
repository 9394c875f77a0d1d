"""EL2NReweight: scores by id, weights by rank, exact resumption."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.callbacks.el2n_reweight import window_weights
from tests.reweight.scores.test_el2n import reference as el2n

RNG = np.random.default_rng(2)
N = 20
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.integers(0, 3, N)
IDS = RNG.permutation(N)
KERNEL = RNG.normal(size=(4, 3)).astype("float32")


def build(learning_rate=0.3):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.set_weights([KERNEL, np.zeros(3)])
    optimizer = keras.optimizers.SGD(learning_rate, momentum=0.5)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    kr.data.enable_aux_targets(model)
    return model


def fit(model, callbacks, **options):
    options = {"batch_size": 5, "epochs": 4, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, kr.data.pack_targets(Y, sample_id=IDS), callbacks=callbacks, **options)


def by_id(values):
    out = np.empty(N)
    out[IDS] = values
    return out


def test_scores_are_those_of_the_step_and_reach_the_right_rows():
    model = build(learning_rate=0.0)
    callback = kr.callbacks.EL2NReweight(N)
    history = fit(model, [callback], epochs=2, validation_data=(X, Y)).history
    expected = by_id(el2n(Y, model.predict(X, verbose=0)))
    np.testing.assert_allclose(callback.table["el2n"], expected, rtol=1e-5)
    np.testing.assert_array_equal(callback.table["count"], np.full(N, 2))
    assert "val_accuracy" in history and history["el2n_reweight_kept"] == [1.0, 1.0]


def test_scoring_data_scores_in_inference_mode():
    model = build()
    order = np.argsort(IDS)
    callback = kr.callbacks.EL2NReweight(N, scoring_data=(X[order], Y[order]))
    fit(model, [callback], epochs=1)
    expected = el2n(Y[order], model.predict(X[order], verbose=0))
    np.testing.assert_allclose(callback.table["el2n"], expected, rtol=1e-5)


def test_weights_drop_the_window_and_reach_the_step():
    model = build(learning_rate=0.0)
    callback = kr.callbacks.EL2NReweight(N, drop_hardest=0.2, drop_easiest=0.1, warmup_epochs=2)
    losses = fit(model, [callback], epochs=3).history["loss"]
    scores = by_id(el2n(Y, model.predict(X, verbose=0)))
    weights = callback.table["weight"]
    order = np.argsort(scores)
    assert (weights[order[-4:]] == 0).all() and (weights[order[:2]] == 0).all()
    np.testing.assert_allclose(weights[order[2:-4]], N / 14, rtol=1e-6)
    p = model.predict(X, verbose=0)
    per_sample = -np.log(p[np.arange(N), Y])
    np.testing.assert_allclose(losses[:2], per_sample.mean(), rtol=1e-5)
    np.testing.assert_allclose(losses[2], (per_sample * weights[IDS]).mean(), rtol=1e-5)


@pytest.mark.parametrize("use_scoring_data", [False, True])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, use_scoring_data):
    order = np.argsort(IDS)
    data = (X[order], Y[order]) if use_scoring_data else None

    def callbacks():
        return [
            kr.callbacks.EL2NReweight(N, drop_hardest=0.3, scoring_data=data),
            kr.callbacks.BackupState(tmp_path / "backup"),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        ]

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole = build()
    callback = kr.callbacks.EL2NReweight(N, drop_hardest=0.3, scoring_data=data)
    fit(whole, [callback])
    with pytest.raises(KeyboardInterrupt):
        fit(build(), [*callbacks(), Stop()])
    assert sorted(p.name for p in (tmp_path / "backup").glob("callback-state*")) == [
        "callback-state-1.safetensors",
        "callback-state-2.safetensors",
    ]
    resumed, again = build(), callbacks()
    history = fit(resumed, again)
    assert history.epoch == [2, 3]
    for mine, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for column in callback.table.columns:
        np.testing.assert_array_equal(again[0].table[column], callback.table[column])
    assert not list((tmp_path).glob("backup/callback-state*"))


def test_window_weights_ties_and_unscored():
    scores = np.array([0.5, np.nan, 0.5, 0.1, 0.9], "float32")
    weights = window_weights(scores, 0.25, 0.25, 0.0)
    np.testing.assert_allclose(weights, np.array([1, 1, 1, 0, 0]) * 5 / 3, rtol=1e-6)
    np.testing.assert_allclose(window_weights(scores, 0.25, 0.25, 0.5).mean(), 1.0, rtol=1e-6)
    ties = window_weights(np.full(4, 0.3), 0.5, 0.0, 0.0)
    np.testing.assert_array_equal(ties, [0, 0, 2, 2])


def test_errors_say_what_is_missing():
    with pytest.raises(ValueError, match="sample ids.*pack_targets"):
        build().fit(X, Y, verbose=0, callbacks=[kr.callbacks.EL2NReweight(N)])
    with pytest.raises(ValueError, match="`num_samples`=10.*sample id 19"):
        fit(build(), [kr.callbacks.EL2NReweight(10)])
    model = build()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="`from_logits`=False contradicts"):
        fit(model, [kr.callbacks.EL2NReweight(N)])
    with pytest.raises(ValueError, match="`drop_hardest`=0.6.*less than 1"):
        kr.callbacks.EL2NReweight(N, drop_hardest=0.6, drop_easiest=0.5)
    with pytest.raises(ValueError, match="`drop_easiest`.*1.0"):
        kr.callbacks.EL2NReweight(N, drop_easiest=1.0)


def test_config_leaves_the_data_out_and_tuners_share_it():
    import copy

    data = (X, Y)
    callback = kr.callbacks.EL2NReweight(N, drop_hardest=0.1, scoring_data=data)
    assert copy.deepcopy(callback).scoring_data is data
    again = kr.callbacks.EL2NReweight.from_config(callback.get_config())
    assert again.get_config() == callback.get_config() and again.scoring_data is None
