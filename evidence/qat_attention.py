"""What oscillation-free quantization is made of, on a small vision transformer.

Claim: At 2 bits a vision transformer trained under quantization is far better than a rounded one.
Scales from weight statistics, query and key as one matrix, and annealing are meant to add to that.

Paper: Liu et al., "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023,
arXiv 2302.02210 (2-bit DeiT-T 64.3 %, float 72.0 %).

Setting: MNIST, 3840 images. Patches of 7 x 7, width 24, two pre-norm blocks with 3 heads of size 8
and 48 hidden units, mean over positions. Adam 0.001, constant, batches of 64; 6 epochs float, then
from the same weights 3 epochs for every arm, the float baseline included, of which the last one is
annealed (`ConfidenceGuidedAnnealing(0.005)`) where it says so. Attention and hidden layers are
quantized to 2 bits, weights only, patch embedding and head stay float. `QKR`: the product of the
query and key kernels of each head is one quantized matrix (`ReparametrizedAttention`).

Criterion: StatsQ and LSQ are at least 3 points better than rounding, and annealing lowers the share
of codes that change in a step to at most 1/50. That annealing or QKR also win in accuracy is no
part of the criterion: on so small a model the order is left open.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from evidence.data import NUM_CLASSES, take
from evidence.quantization import set_least_squares_steps
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, start
from keras_compress.callbacks import ConfidenceGuidedAnnealing, OscillationMonitor
from keras_compress.layers import ReparametrizedAttention
from keras_compress.quantization import quantize_aware
from keras_compress.quantizers import StatsQuantizer

SEEDS = 2
BATCH, WIDTH, HEADS, BITS = 64, 24, 3, 2
ACCURACY, OSCILLATING, FLIPS = "test accuracy %", "oscillating weights %", "code flips per step %"
ARMS = ("LSQ", "StatsQ", "StatsQ + annealing", "StatsQ + QKR", "StatsQ + QKR + annealing (OFQ)")


def run(data, seeds, quick) -> Result:
    result = Result()
    split = data.mnist
    for seed in seeds:
        ((x, y),) = take(split, seed, 1_280 if quick else 3_840)
        _one_seed(result, x, y, split, seed, 2 if quick else 6)
    for arm in ("LSQ", "StatsQ"):
        gain = result.center(arm, ACCURACY) - result.center("rounding", ACCURACY)
        result.at_least(f"2-bit {arm} minus rounding, in points", gain, 3.0)
    for arm in ("StatsQ", "StatsQ + QKR"):
        annealed = arm + (" + annealing (OFQ)" if "QKR" in arm else " + annealing")
        ratio = result.center(annealed, FLIPS) / result.center(arm, FLIPS)
        result.at_most(f"code flips, annealed over plain, {arm}", ratio, 1 / 50)
    return result


def _one_seed(result, x, y, split, seed, epochs):
    def fit(model, epochs, *callbacks):
        compile_classifier(model, 1e-3)
        return model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)

    def measure(arm, model):
        result.append(arm, ACCURACY, accuracy(model, split.x_test, split.y_test))

    start(seed)
    trained = transformer()
    fit(trained, epochs)
    values = _by_layer(trained)
    fit(trained, 3)
    measure("float", trained)
    for arm in ("rounding", *ARMS):
        start(seed)
        base = transformer()
        _assign(base, values)
        model = _quantized(base, values, arm)
        if arm == "rounding":
            set_least_squares_steps(model)
            measure(arm, model)
            continue
        fit(model, 2)
        annealing = [ConfidenceGuidedAnnealing(0.005)] if "annealing" in arm else []
        logs = fit(model, 1, *annealing, OscillationMonitor()).history
        measure(arm, model)
        result.append(arm, OSCILLATING, 100.0 * logs["oscillating_weights"][-1])
        result.append(arm, FLIPS, 100.0 * logs["code_flips"][-1])


def transformer(attention=None) -> keras.Model:
    """A vision transformer of two blocks; `attention` gives other layers for theirs."""
    if attention is None:

        def attention(name):
            return layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=name)

    inputs = keras.Input((28, 28, 1))
    x = layers.Conv2D(WIDTH, 7, strides=7, name="patches")(inputs)
    x = layers.Reshape((16, WIDTH), name="tokens")(x)
    x = _Positions(name="positions")(x)
    for block in ("first", "second"):
        y = layers.LayerNormalization(name=f"{block}_norm")(x)
        x = layers.Add(name=f"{block}_add")([x, attention(f"{block}_attention")(y, y)])
        y = layers.LayerNormalization(name=f"{block}_hidden_norm")(x)
        y = layers.Dense(2 * WIDTH, "gelu", name=f"{block}_up")(y)
        x = layers.Add(name=f"{block}_hidden_add")(
            [x, layers.Dense(WIDTH, name=f"{block}_down")(y)]
        )
    x = layers.GlobalAveragePooling1D(name="mean")(layers.LayerNormalization(name="norm")(x))
    return keras.Model(inputs, layers.Dense(NUM_CLASSES, name="head")(x))


@keras.saving.register_keras_serializable(package="evidence")
class _Positions(layers.Layer):
    def build(self, input_shape):
        self.positions = self.add_weight(shape=input_shape[1:], initializer="random_normal")

    def call(self, inputs):
        return inputs + ops.cast(self.positions, inputs.dtype)


def _by_layer(model):
    return {layer.name: layer.get_weights() for layer in model.layers}


def _assign(model, values):
    for layer in model.layers:
        if layer.name in values and not isinstance(layer, ReparametrizedAttention):
            layer.set_weights(values[layer.name])


def _quantized(base, values, arm):
    inner = ["first_up", "first_down", "second_up", "second_down"]
    method = "lsq" if arm in ("LSQ", "rounding") else "stats"
    if "QKR" not in arm:
        inner += ["first_attention", "second_attention"]
        return quantize_aware(base, weights=BITS, method=method, layers=inner)

    def attention(name):
        plain = base.get_layer(name)
        return ReparametrizedAttention.from_attention(plain, weight=StatsQuantizer(BITS))

    model = transformer(attention)
    _assign(model, values)
    return quantize_aware(model, weights=BITS, method=method, layers=inner)
