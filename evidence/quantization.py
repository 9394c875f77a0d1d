"""Training under quantization recovers what rounding to 2 and 3 bits loses.

Claim: At 4 to 2 bits a few epochs with learned step sizes (LSQ) or scales from weight statistics
(StatsQ) give a much better model than rounding a trained one, close to float accuracy.

Paper: Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153; Liu et al.,
"Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023, arXiv 2302.02210.

Setting: MNIST: 784-128-64-10 network, 10240 images. CIFAR: three strided convolutions, a depthwise
one and a linear layer, 6400 images. Adam 0.001, batches of 64; 4 and 8 epochs float, then 2 epochs
with Adam 0.0003 for every trained arm, the float baseline included. All layers are
quantized, first and last too, with one scale for each output channel. Rounding uses, for each
channel, the step of least squared error among 80. `a8`: inputs of layers at 8 bits as well. Files:
`.keras` for float models, `save_packed` for quantized ones.

Criterion: On both data sets, 2-bit LSQ is at least 3 points better than 2-bit rounding, 3-bit LSQ
loses at most 5 points and w4a8 at most 3 points against float, and the model loaded from the packed
file predicts exactly what the frozen model predicts.
"""

from __future__ import annotations

import os
import tempfile

import keras
import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_compress.layers import QuantizeAware
from keras_compress.quantization import freeze, load_packed, quantize_aware, save_packed

SEEDS = 3
BATCH = 64
BITS = (4, 3, 2)
ACCURACY, SIZE = "test accuracy %", "file kB"


def run(data, seeds, quick) -> Result:
    result = Result()
    largest = 0.0
    for name, split, build, num_train, epochs in (
        ("MNIST", data.mnist, lambda: mlp((128, 64)), 10_240, 4),
        ("CIFAR", data.cifar, lambda: cnn(depthwise=True), 6_400, 8),
    ):
        num_train, epochs = (2_560, 3) if quick else (num_train, epochs)
        for seed in seeds:
            largest = max(largest, _one_seed(result, name, split, build, num_train, epochs, seed))
    for name in ("MNIST", "CIFAR"):
        score = {row.arm: row.center("mean") for row in result.rows if row.metric == ACCURACY}
        result.at_least(
            f"2-bit LSQ minus 2-bit rounding on {name}, in points",
            score[f"{name}, w2 LSQ"] - score[f"{name}, w2 rounding"],
            3.0,
        )
        for arm, limit in (("w3 LSQ", -5.0), ("w4a8 LSQ", -3.0)):
            result.at_least(
                f"{arm} minus float on {name}, in points",
                score[f"{name}, {arm}"] - score[f"{name}, float"],
                limit,
            )
    result.at_most("largest difference of logits, packed file and frozen model", largest, 0.0)
    return result


def _one_seed(result, name, split, build, num_train, epochs, seed):
    """Train in float, then every arm from there; returns the worst error of a packed file."""
    ((x, y),) = take(split, seed, num_train)

    def fit(model, epochs, learning_rate):
        compile_classifier(model, learning_rate)
        model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)

    def measure(arm, model):
        result.append(f"{name}, {arm}", ACCURACY, accuracy(model, split.x_test, split.y_test))

    start(seed)
    trained = build()
    fit(trained, epochs, 1e-3)
    weights = trained.get_weights()
    fit(trained, 2, 3e-4)
    measure("float", trained)
    result.append(f"{name}, float", SIZE, float_file_size(trained) / 1e3)
    largest = 0.0
    for bits in BITS:
        base = build()
        base.set_weights(weights)
        rounded = quantize_aware(base, weights=bits)
        set_least_squares_steps(rounded)
        measure(f"w{bits} rounding", rounded)
        for label, method in (("LSQ", "lsq"), ("StatsQ", "stats")):
            start(seed)
            model = quantize_aware(base, weights=bits, method=method)
            fit(model, 2, 3e-4)
            measure(f"w{bits} {label}", model)
            size, error = packed_file(model, split.x_test[:256])
            result.append(f"{name}, w{bits} {label}", SIZE, size / 1e3)
            largest = max(largest, error)
    start(seed)
    model = quantize_aware(base, weights=4, activations=8, calibration_data=x[:512])
    fit(model, 2, 3e-4)
    measure("w4a8 LSQ", model)
    return largest


def set_least_squares_steps(model, num_candidates: int = 80) -> None:
    """Rounding after training at its best: the step of least squared error for each channel."""
    for layer in model.layers:
        if not isinstance(layer, QuantizeAware):
            continue
        for variable, quantizer in layer.quantized_matrices().values():
            kernel = np.asarray(keras.ops.convert_to_numpy(variable), "float64")
            axes = quantizer.granularity.reduced
            low, high = quantizer.code_range
            largest = np.maximum(np.abs(kernel).max(axis=axes, keepdims=True), 1e-8)
            best = np.full_like(largest, np.inf)
            steps = np.array(largest)
            for share in np.linspace(0.1, 1.2, num_candidates):
                step = share * largest / high
                codes = np.clip(np.round(kernel / step), low, high)
                error = ((codes * step - kernel) ** 2).sum(axis=axes, keepdims=True)
                steps = np.where(error < best, step, steps)
                best = np.minimum(error, best)
            quantizer.scale.assign(steps.reshape(quantizer.scale.shape).astype("float32"))


def float_file_size(model) -> int:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "model.keras")
        # A copy that was never compiled: its file holds no optimizer.
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        copy.save(path)
        return os.path.getsize(path)


def packed_file(model, x) -> tuple[int, float]:
    """Size of the packed file, and how far its model is from the frozen one."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "model.safetensors")
        save_packed(model, path)
        loaded = load_packed(path)
        wanted = freeze(model).predict(x, verbose=0)
        error = np.abs(loaded.predict(x, verbose=0) - wanted).max()
        return os.path.getsize(path), float(error)
