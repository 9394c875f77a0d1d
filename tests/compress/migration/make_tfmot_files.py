"""Makes `tfmot_weights.npz` and `tfmot_outputs.npz`, which the tests read.

Run where tensorflow-model-optimization 0.8.1 and tf-keras 2.21 are installed, which is not the
environment of the tests: `python tests/compress/migration/make_tfmot_files.py`.
"""

import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "keras_compress" / "migration"))


def main():
    import tensorflow_model_optimization as tfmot  # first: it chooses Keras 2
    import tf_keras
    from tfmot_script import save_tfmot_weights

    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    tail = tf_keras.Sequential([layers.Input((8, 6)), layers.LSTM(3, name="lstm")], name="tail")
    model = tf_keras.Sequential(
        [
            layers.Input((10, 10, 2)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(1, name="depthwise"),
            layers.SeparableConv2D(6, (1, 8), name="separable"),
            layers.Reshape((8, 6)),
            tail,
            layers.Dense(5, name="head"),
        ]
    )
    api = tfmot.sparsity.keras
    schedule = api.PolynomialDecay(0.2, 0.75, begin_step=0, end_step=6, frequency=2)
    pruned = api.prune_low_magnitude(model, pruning_schedule=schedule)
    pruned.compile(tf_keras.optimizers.Adam(0.01), "mse")
    x = np.random.default_rng(0).normal(size=(32, 10, 10, 2)).astype("float32")
    y = np.random.default_rng(1).normal(size=(32, 5)).astype("float32")
    update = api.UpdatePruningStep()
    pruned.fit(x, y, batch_size=4, epochs=1, verbose=0, callbacks=[update])
    # tfmot masks before a step and at the end of an epoch: after a single step, no weight is zero.
    pruned.train_on_batch(x[:4], y[:4])
    save_tfmot_weights(pruned, HERE / "tfmot_weights.npz")
    update.on_epoch_end(1)
    outputs = api.strip_pruning(pruned).predict(x[:3], verbose=0)
    np.savez_compressed(HERE / "tfmot_outputs.npz", x=x[:3], y=outputs)


if __name__ == "__main__":
    main()
