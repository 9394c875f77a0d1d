"""BackupState: order, missing and damaged files."""

import keras
import numpy as np
import pytest

import keras_reweight as kr


def build():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(callbacks, **options):
    x = np.ones((4, 2), "float32")
    build().fit(x, x[:, :1], batch_size=2, verbose=0, callbacks=callbacks, **options)


def reweight():
    return kr.callbacks.Reweight(kr.weightings.LinUpper())


def test_keeps_and_restores_two_generations(tmp_path):
    keep = kr.callbacks.BackupState(tmp_path, delete_checkpoint=False)
    fit([reweight(), keep], epochs=4)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["callback-state-3.safetensors", "callback-state-4.safetensors"]
    resumed = reweight()
    fit([resumed, kr.callbacks.BackupState(tmp_path)], initial_epoch=4, epochs=5)
    assert resumed.get_state()["step"] == 10
    assert not list(tmp_path.iterdir())


def test_saves_every_n_batches(tmp_path):
    keep = kr.callbacks.BackupState(tmp_path, save_freq=3, delete_checkpoint=False)
    fit([reweight(), keep], epochs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["callback-state-1.safetensors"]
    resumed = reweight()
    fit([resumed, kr.callbacks.BackupState(tmp_path)], initial_epoch=1, epochs=2)
    assert resumed.get_state()["step"] == 3 + 2


def test_must_come_after_what_it_keeps(tmp_path):
    with pytest.raises(ValueError, match="after.*'reweight'"):
        fit([kr.callbacks.BackupState(tmp_path), reweight()])


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_missing_and_damaged_state(tmp_path):
    with pytest.warns(UserWarning, match="epoch 3.*'reweight'"):
        fit([reweight(), kr.callbacks.BackupState(tmp_path)], initial_epoch=3, epochs=4)
    (tmp_path / "callback-state-3.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match="callback-state-3.safetensors"):
        fit([reweight(), kr.callbacks.BackupState(tmp_path)], initial_epoch=3, epochs=4)


def test_other_callbacks_are_refused(tmp_path):
    fit([reweight(), kr.callbacks.BackupState(tmp_path, delete_checkpoint=False)])
    other = kr.callbacks.Reweight(kr.weightings.LinUpper(), name="other")
    with pytest.raises(ValueError, match="'reweight'.*'other'"):
        fit([other, kr.callbacks.BackupState(tmp_path)], initial_epoch=1, epochs=2)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="`backup_dir`"):
        kr.callbacks.BackupState("")
    with pytest.raises(ValueError, match="`save_freq`.*'step'"):
        kr.callbacks.BackupState(tmp_path, save_freq="step")
    with pytest.raises(ValueError, match="`save_freq`.*0"):
        kr.callbacks.BackupState(tmp_path, save_freq=0)
