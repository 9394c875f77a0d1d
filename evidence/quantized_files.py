"""A packed file takes the bits of its codes.

Claim: A file of `save_packed` takes what its codes and scales take, to 3 %, for all bit widths and
kinds of grids, and gives back the model it was written from, bit for bit.

Paper: None; the size of a float32 model times `bits / 32`, and what the scales take.

Setting: A dense network (784-1024-1024-10), one of convolutions (64, 128, 256 filters, a depthwise
one, 512 units) and a transformer of characters (embedding, two blocks of width 256 with 4 heads),
their weights drawn at random: sizes do not depend on values. All weights with rows and columns are
quantized, with one scale per output or a scale for each group of 64 inputs. Expected: for each
quantized weight `bits / 8` bytes per value and the bytes of its scales, zero points and codebooks;
for all others 4 bytes a value.

Criterion: Every file is at most 3 % larger than expected, every model loaded from one has exactly
the weights of the frozen model, and saving its codes again gives a file of the same size but for
the names of variables.
"""

from __future__ import annotations

import math
import pathlib
import tempfile

import keras
import numpy as np
from keras import layers

from evidence.quantization import float_file_size
from evidence.result import Result
from evidence.training import mlp, start
from keras_compress.quantization import load_packed, quantize_aware, quantized_form, save_packed
from keras_compress.quantizers import CodebookQuantizer, LSQQuantizer, MinMaxQuantizer

SEEDS = 1
VALUES = 65


def convolutions() -> keras.Model:
    stack = [keras.Input((32, 32, 3))]
    for filters in (64, 128, 256):
        stack.append(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
    stack += [layers.DepthwiseConv2D(3, padding="same"), layers.Flatten()]
    return keras.Sequential([*stack, layers.Dense(512, "relu"), layers.Dense(10)])


def transformer() -> keras.Model:
    inputs = keras.Input((64,), dtype="int32")
    hidden = layers.Embedding(VALUES, 256)(inputs)
    for _ in range(2):
        normal = layers.LayerNormalization()(hidden)
        attended = layers.MultiHeadAttention(4, 64)(normal, normal, use_causal_mask=True)
        hidden = layers.Add()([hidden, attended])
        inner = layers.Dense(1024, "gelu")(layers.LayerNormalization()(hidden))
        hidden = layers.Add()([hidden, layers.Dense(256)(inner)])
    return keras.Model(inputs, layers.Dense(VALUES)(layers.LayerNormalization()(hidden)))


def run(data, seeds, quick) -> Result:
    result = Result()
    arms = {f"w{bits}, a scale per output": LSQQuantizer(bits) for bits in (2, 3, 4, 5, 6, 8)}
    arms["w4, groups of 64"] = MinMaxQuantizer(4, group_size=64)
    arms["w2, groups of 64"] = MinMaxQuantizer(2, group_size=64)
    arms["w3, codebook"] = CodebookQuantizer(3)
    if quick:
        arms = {name: arms[name] for name in ("w4, groups of 64", "w3, codebook")}
    largest, unequal, again = 0.0, 0, 0
    for name, build in (
        ("dense", lambda: mlp((1024, 1024))),
        ("convolutions", convolutions),
        ("transformer", transformer),
    ):
        start(seeds[0])
        model = build()
        as_floats = sum(4 * math.prod(variable.shape) for variable in model.weights)
        result.add(f"{name}, float", "weights kB", [as_floats / 1e3])
        result.add(f"{name}, float", "file kB", [float_file_size(model) / 1e3])
        for arm, quantizer in arms.items():
            found, expected, differing, difference = _file(model, quantizer)
            result.add(f"{name}, {arm}", "weights kB", [expected / 1e3])
            result.add(f"{name}, {arm}", "file kB", [found / 1e3])
            result.add(f"{name}, {arm}", "file by float32 weights", [found / as_floats])
            largest = max(largest, found / expected - 1.0)
            unequal, again = unequal + differing, max(again, difference)
    result.at_most("largest excess of a file over codes and scales, in percent", 100 * largest, 3.0)
    result.at_most("weights that differ from those of the frozen model", unequal, 0)
    result.at_most("bytes by which a file differs that is loaded and saved again", again, 256)
    return result


def _file(model, quantizer):
    """Bytes found and expected, weights that differ, and bytes of a second file more or less."""
    form = quantized_form(quantize_aware(model, weights=quantizer))
    expected = 0
    for variable in form.model.weights:
        matrix = form.matrices.get(variable.path)
        size = math.prod(variable.shape)
        if matrix is None:
            expected += 4 * size
        else:
            scales = sum(array.nbytes for array in matrix.grid.arrays().values())
            expected += size * matrix.bits / 8 + scales
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model.safetensors"
        save_packed(form, path)
        loaded = load_packed(path, as_="quantized")
        second = path.with_name("again.safetensors")
        save_packed(loaded, second)
        differing = sum(
            not np.array_equal(*map(keras.ops.convert_to_numpy, pair))
            for pair in zip(loaded.model.weights, form.model.weights, strict=True)
        )
        sizes = path.stat().st_size, second.stat().st_size
    return sizes[0], expected, differing, abs(sizes[1] - sizes[0])
