"""The weights of tasks arrive in the event files of Keras' own callback."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.callbacks.test_tensorboard_histograms import events
from tests.reweight.meta.models import steps
from tests.reweight.tasks import models

LOSSES = {"a": "mse", "b": "mse"}
LIMIT = kr.tasks.Lagrangian([None, 0.3], learning_rate=0.4)


@pytest.mark.parametrize("wrapper", [True, False])
def test_weights_are_scalars_of_the_training_log(tmp_path, wrapper):
    trained, callbacks = models.model(), []
    names = [f"balance_losses_{key}" for key in "ab"]
    if wrapper:
        trained = kr.tasks.LossBalancing(trained, LIMIT)
        names = [f"{key}_weight" for key in "ab"]
    else:
        callbacks = [kr.callbacks.BalanceLosses(LIMIT)]
    trained.compile(keras.optimizers.SGD(models.RATE), LOSSES, **steps())
    callbacks += [keras.callbacks.TensorBoard(tmp_path)]
    run = {"batch_size": 4, "epochs": 2, "verbose": 0}
    history = trained.fit(models.X, models.Y, callbacks=callbacks, **run).history
    found = events(tmp_path)
    for name in names:
        np.testing.assert_allclose(np.ravel(found[f"epoch_{name}"]), history[name], rtol=1e-6)
    assert history[names[1]][1] > 0.0
