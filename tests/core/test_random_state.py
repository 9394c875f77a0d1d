import random

import keras
import numpy as np
import pytest

from keras_reweight.core.random_state import preserved_random_state


def draw():
    return [random.random(), np.random.random()]


def test_draws_inside_leave_no_trace():
    keras.utils.set_random_seed(0)
    expected = draw() + draw()
    keras.utils.set_random_seed(0)
    first = draw()
    with preserved_random_state():
        draw()
    assert first + draw() == expected


def test_restores_after_an_exception():
    keras.utils.set_random_seed(0)
    expected = draw()
    keras.utils.set_random_seed(0)
    with pytest.raises(KeyError), preserved_random_state():
        draw()
        raise KeyError
    assert draw() == expected


def test_an_evaluation_between_two_epochs_does_not_change_their_shuffling():
    def orders(evaluate):
        seen = []

        class Data(keras.utils.PyDataset):
            def __len__(self):
                return 1

            def __getitem__(self, index):
                return np.ones((2, 1)), np.ones((2, 1))

        class Between(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                seen.append(keras.ops.convert_to_numpy(self.model.layers[0].kernel).tobytes())
                with preserved_random_state():
                    if evaluate:
                        self.model.evaluate(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
                        self.model.evaluate(Data(), verbose=0)

        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=keras.backend.backend() == "tensorflow")
        x = np.arange(8.0)[:, None] / 8.0
        model.fit(x, x**2, batch_size=1, epochs=3, verbose=0, callbacks=[Between()])
        return seen

    assert orders(evaluate=True) == orders(evaluate=False)
