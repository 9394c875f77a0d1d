"""Training on the model's own empirical probabilities delays overconfidence.

Claim: A network that is trained on after the best epoch drives its probabilities to 0 and 1.
Alternating epochs on labels with epochs on the empirical probabilities of samples that the model
ranks alike (CaPE) keeps them nearer to the true ones.

Paper: Liu et al., "Deep Probability Estimation", ICML 2022, arXiv 2111.10734.

Setting: 1500 samples of 30 standard normal features, an outcome drawn once with probability
`sigmoid(1.2 w.x)`, w of unit length. 30-128-1 network, Adam 0.001, batches of 64. From the epoch of
the best validation loss, 30 more epochs with cross-entropy, or with `CaPE` (5 bins, every third
epoch). Error: mean squared distance to the true probabilities of 2000 new samples.

Criterion: After the last epoch the error of CaPE is below that of cross-entropy.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.result import Result
from evidence.training import start
from keras_reweight.callbacks import CaPE
from keras_reweight.data import SoftLabelDataset

SEEDS = 5
ERROR = "squared error of probabilities, times 1000"
STOPPED, PLAIN, CAPE = "early stopped", "cross-entropy, 30 more epochs", "CaPE, 30 more epochs"


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        start(seed)
        generator = np.random.default_rng([seed, 23])
        direction = generator.normal(size=30)
        direction /= np.linalg.norm(direction)
        (x, y, _), validation, (x_test, _, p_test) = (
            _sample(generator, direction, size) for size in (1500, 500, 2000)
        )
        model = keras.Sequential(
            [
                keras.Input((30,)),
                keras.layers.Dense(128, "relu"),
                keras.layers.Dense(1, "sigmoid"),
            ]
        )
        model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
        best = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
        model.fit(
            x,
            y,
            batch_size=64,
            epochs=100,
            validation_data=validation[:2],
            callbacks=[best],
            verbose=0,
        )
        weights = model.get_weights()
        for arm in (STOPPED, PLAIN, CAPE):
            model.set_weights(weights)
            if arm != STOPPED:
                model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
                dataset = SoftLabelDataset(x, y, batch_size=64, seed=seed)
                callbacks = [CaPE(dataset, period=3, num_bins=5)] if arm == CAPE else []
                epochs = 3 if quick else 30
                model.fit(dataset, epochs=epochs, callbacks=callbacks, verbose=0)
            predicted = model.predict(x_test, batch_size=1000, verbose=0)[:, 0]
            result.append(arm, ERROR, 1e3 * np.mean((predicted - p_test) ** 2))
    ratio = result.center(CAPE, ERROR) / result.center(PLAIN, ERROR)
    result.at_most("error of CaPE / error of cross-entropy", ratio, 1.0)
    return result


def _sample(generator, direction, size):
    x = generator.normal(size=(size, 30)).astype("float32")
    probability = 1.0 / (1.0 + np.exp(-1.2 * x @ direction))
    y = (generator.random(size) < probability).astype("float32")
    return x, y, probability
